//! Encryption over loopback, observed on the wire: data arrives intact, also while keys change, and incompatible
//! settings are refused or reported.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use lossy::{Fate, LossyLink, Way, Wire, pace};
use srt_safe::{
    CryptoMode, ErrorKind, KeyLength, KeyState, KmState, Options, Passphrase, RejectReason, SrtListener,
    SrtSocket, opt,
};
use support::{PATIENCE, accept, addr_of, listener, noise, refused, wait_until};

const PACKET: usize = 1316;
const PACKETS: u64 = 2600;
/// Sent after the packets that count: a loss at the very end would not be noticed, and so not repaired.
const TAIL: u64 = 40;
const REFRESH: u32 = 1000;
const ANNOUNCE: u32 = 450;

fn secret(text: &str) -> Passphrase {
    Passphrase::new(text).expect("10 to 79 bytes")
}

/// Whether the linked libsrt supports AES-GCM and the choice of a mode; the pinned one does.
fn has_modes() -> bool {
    let has = opt::by_name("cryptomode")
        .expect("an option")
        .is_supported()
        .expect("a socket");
    assert!(has || cfg!(feature = "system"));
    has
}

fn with_mode(options: Options, mode: CryptoMode) -> Options {
    if has_modes() {
        options.crypto_mode(mode)
    } else {
        options
    }
}

/// Enough time for a slow machine; keys are announced well before their use.
fn steady() -> Options {
    Options::new()
        .latency(Duration::from_millis(500))
        .receive_timeout(PATIENCE)
        .key_refresh_rate(REFRESH)
        .key_pre_announce(ANNOUNCE)
}

/// What was observed in one direction.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The key of each packet, where it differs from the previous one.
    keys: Vec<u8>,
    /// Packets whose payload was readable.
    plain: usize,
}

fn stream(from: &SrtSocket, to: &SrtSocket, seed: u64) {
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PACKETS + TAIL {
                assert_eq!(from.send(&noise(seed + number, PACKET)).expect("sent"), PACKET);
                if number % 2 == 0 {
                    pace();
                }
            }
        });
        let mut buffer = [0; 1500];
        for number in 0..PACKETS {
            let len = to.recv(&mut buffer).expect("a packet");
            assert!(
                buffer[..len] == noise(seed + number, PACKET),
                "packet {number} came changed"
            );
        }
    });
}

fn one_case(mode: CryptoMode, length: KeyLength) {
    let options = with_mode(steady().passphrase(secret("a shared secret")), mode);
    let listener = listener(&options);
    let seen: Arc<Mutex<[Seen; 2]>> = Arc::default();
    let watched = Arc::clone(&seen);
    let beginnings: HashSet<Vec<u8>> = (0..PACKETS).map(|number| noise(number, 16)).collect();
    let link = LossyLink::new(addr_of(&listener), move |way, packet: Wire<'_>| {
        if packet.is_data() && !packet.is_retransmission() {
            let mut seen = watched.lock().expect("no panic");
            let seen = &mut seen[usize::from(way == Way::ToCaller)];
            if seen.keys.last() != Some(&packet.key()) {
                seen.keys.push(packet.key());
            }
            seen.plain += usize::from(beginnings.contains(&packet.payload()[..16]));
        }
        Fate::Pass
    })
    .expect("a link");
    let caller = SrtSocket::builder()
        .options(options.key_length(length))
        .connect(link.addr())
        .expect("a connection");
    let accepted = accept(&listener);

    thread::scope(|scope| {
        scope.spawn(|| stream(&caller, &accepted, 0));
        stream(&accepted, &caller, 0);
    });

    for socket in [&caller, &accepted] {
        let state = socket.key_state().expect("a key state");
        assert_eq!(
            state,
            KeyState {
                sending: KmState::Secured,
                receiving: KmState::Secured
            }
        );
        assert!(state.is_secured());
        if has_modes() {
            assert_eq!(socket.option::<opt::CryptoMode>().expect("readable"), mode);
        }
        assert_eq!(socket.option::<opt::KeyLength>().expect("readable"), length);
        let counted = socket.stats().expect("connected").total;
        assert_eq!(
            (counted.undecrypted.packets, counted.receive_dropped.packets),
            (0, 0)
        );
    }
    for seen in &*seen.lock().expect("no panic") {
        assert_eq!(seen.plain, 0, "{mode:?} {length:?}: readable on the wire");
        assert_eq!(
            seen.keys,
            [1, 2, 1],
            "{mode:?} {length:?}: even, odd, even: a new key each {REFRESH} packets"
        );
    }
}

#[test]
fn ctr_is_byte_exact_while_its_keys_change() {
    for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        one_case(CryptoMode::Ctr, length);
    }
}

#[test]
fn gcm_is_byte_exact_while_its_keys_change() {
    if !has_modes() {
        let options = Options::new().crypto_mode(CryptoMode::Gcm);
        let error = refused(SrtListener::builder().options(options).bind(support::V4));
        assert!(
            error.to_string().contains("does not support this option"),
            "{error}"
        );
        return;
    }
    for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        one_case(CryptoMode::Gcm, length);
    }
}

#[test]
fn a_listener_takes_the_callers_mode_and_key_length() {
    let listener = listener(&Options::new().passphrase(secret("a shared secret")));
    let options = Options::new().passphrase(secret("a shared secret"));
    for (mode, length) in [
        (CryptoMode::Ctr, KeyLength::Aes192),
        (CryptoMode::Gcm, KeyLength::Aes256),
    ] {
        let caller = SrtSocket::builder()
            .options(with_mode(options.clone(), mode).key_length(length))
            .connect(addr_of(&listener))
            .expect("a connection");
        let accepted = accept(&listener);
        if has_modes() {
            assert_eq!(accepted.option::<opt::CryptoMode>().expect("readable"), mode);
        }
        assert_eq!(accepted.option::<opt::KeyLength>().expect("readable"), length);
        assert!(caller.key_state().expect("a key state").is_secured());
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_reason() {
    let one = || Options::new().passphrase(secret("the one secret"));
    let other = || Options::new().passphrase(secret("the other secret"));
    let ctr = || one().crypto_mode(CryptoMode::Ctr);
    let gcm = || one().crypto_mode(CryptoMode::Gcm);
    let mut cases = vec![
        (one(), other(), RejectReason::BAD_SECRET),
        (one(), Options::new(), RejectReason::UNSECURE),
        (Options::new(), one(), RejectReason::UNSECURE),
    ];
    if has_modes() {
        cases.push((ctr(), gcm(), RejectReason::CRYPTO));
        cases.push((gcm(), ctr(), RejectReason::CRYPTO));
    }
    for (listening, calling, reason) in cases {
        let listener = listener(&listening);
        let error = refused(
            SrtSocket::builder()
                .options(calling.clone())
                .connect(addr_of(&listener)),
        );
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionRejected,
            "{listening:?} {calling:?}: {error}"
        );
        assert_eq!(
            error.reject_reason(),
            Some(reason),
            "{listening:?} {calling:?}: {error}"
        );
        assert!(!error.to_string().contains("secret\""), "{error}");
    }
}

#[test]
fn without_enforcement_the_key_state_tells_what_cannot_be_read() {
    let lenient = || {
        Options::new()
            .enforced_encryption(false)
            .latency(Duration::from_millis(20))
    };
    let listener = SrtListener::builder()
        .options(lenient().passphrase(secret("the one secret")))
        .bind(support::V4)
        .expect("a listener");
    let caller = SrtSocket::builder()
        .options(lenient().passphrase(secret("the other secret")))
        .connect(addr_of(&listener))
        .expect("a connection in spite of the secrets");
    let accepted = accept(&listener);
    for socket in [&caller, &accepted] {
        let state = socket.key_state().expect("a key state");
        assert!(!state.is_secured());
        assert_eq!(state.receiving, KmState::BadSecret, "{state:?}");
    }
    caller.send(&noise(1, PACKET)).expect("sent");
    wait_until("the packet is counted as not decrypted", || {
        accepted.stats().expect("connected").total.undecrypted.packets == 1
    });

    let plain = SrtSocket::builder()
        .options(lenient())
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);
    assert_eq!(
        plain.key_state().expect("a key state").receiving,
        KmState::NoSecret
    );
    assert!(!accepted.key_state().expect("a key state").is_secured());
}

#[test]
fn a_socket_without_a_secret_is_unsecured() {
    let (caller, accepted) = support::live_pair();
    for socket in [&caller, &accepted] {
        let state = socket.key_state().expect("a key state");
        assert_eq!(
            state,
            KeyState {
                sending: KmState::Unsecured,
                receiving: KmState::Unsecured
            }
        );
        assert_eq!(
            socket.option::<opt::KeyState>().expect("readable"),
            KmState::Unsecured
        );
    }
}
