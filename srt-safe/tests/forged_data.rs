//! An attacker on the path sends data packets from the peer's address and port, with plausible sequence numbers. With
//! AES-GCM they change nothing: all packets of the peer arrive. AES-CTR cannot distinguish them from real ones, but the
//! stream continues.

// An installed library lacks the edits.
#![cfg(not(feature = "system"))]

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use lossy::{Fate, LossyLink, Way, Wire, pace};
use srt_safe::{
    Arq, CryptoMode, Epoll, Events, FecLayout, Interest, Options, PacketFilter, Passphrase, ReaderTiming,
    SrtSocket, Stats, Trigger, opt,
};
use support::{PATIENCE, accept, addr_of, listener, noise, wait_until};

const PACKETS: u64 = 300;
/// Sent after the packets that count: a loss at the very end would not be noticed, and so not repaired.
const TAIL: u64 = 60;
const LEN: usize = 1316;
/// Packets in a receive buffer.
const BUFFER: u32 = 8192;
/// Bits of the fifth byte of a packet.
const KEYS: u8 = 0b0001_1000;
const RETRANSMISSION: u8 = 0b0000_0100;

fn options(mode: CryptoMode) -> Options {
    Options::new()
        .passphrase(Passphrase::new("a shared secret").expect("10 to 79 bytes"))
        .crypto_mode(mode)
        .latency(Duration::from_secs(1))
        .receive_timeout(PATIENCE)
}

/// A packet like `real`, but `ahead` of it and with another payload.
fn forged(real: Wire<'_>, ahead: u32) -> Vec<u8> {
    let sequence = real.sequence().wrapping_add(ahead) & 0x7FFF_FFFF;
    let mut packet = real.0.to_vec();
    packet[..4].copy_from_slice(&sequence.to_be_bytes());
    let payload = noise(u64::from(sequence), packet.len() - 16);
    packet[16..].copy_from_slice(&payload);
    packet
}

type Forge = fn(Wire<'_>) -> Vec<u8>;

/// Like [`forged`], then changed by `change`.
fn forged_with(real: Wire<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = forged(real, 0);
    change(&mut packet);
    packet
}

fn unencrypted(real: Wire<'_>) -> Vec<u8> {
    forged_with(real, |packet| packet[4] &= !KEYS)
}

/// How the accepted end reads.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Blocking,
    Timed(ReaderTiming),
}

const READERS: [Reader; 3] = [
    Reader::Blocking,
    Reader::Timed(ReaderTiming::OnTime),
    Reader::Timed(ReaderTiming::InOrder),
];

/// The result of a stream.
struct Outcome {
    messages: Vec<Vec<u8>>,
    stats: Stats,
}

impl Outcome {
    /// Every message arrived, in order and unchanged.
    #[track_caller]
    fn assert_whole(&self, what: &str) {
        assert_eq!(self.messages.len() as u64, PACKETS, "{what}");
        for (number, message) in (0..).zip(&self.messages) {
            assert!(
                *message == noise(number, LEN),
                "{what}: message {number} is another"
            );
        }
        assert_eq!(self.stats.total.receive_dropped.packets, 0, "{what}");
    }
}

/// Sends a stream past a forger. The forger gets the running number of each packet that is not a retransmission, and
/// returns what arrives with it.
fn stream(
    mode: CryptoMode,
    reader: Reader,
    forge: impl Fn(u64, Wire<'_>) -> Fate + Send + 'static,
) -> Outcome {
    stream_with(&options(mode), reader, forge)
}

fn stream_with(
    options: &Options,
    reader: Reader,
    forge: impl Fn(u64, Wire<'_>) -> Fate + Send + 'static,
) -> Outcome {
    let listener = listener(options);
    let mut number = 0;
    let link = LossyLink::new(addr_of(&listener), move |way, packet: Wire<'_>| {
        if way != Way::ToListener || !packet.is_data() || packet.is_retransmission() || packet.is_of_filter()
        {
            return Fate::Pass;
        }
        number += 1;
        forge(number, packet)
    })
    .expect("a link");
    let caller = SrtSocket::builder()
        .options(options.clone())
        .connect(link.addr())
        .expect("a connection");
    let accepted = accept(&listener);
    let messages = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PACKETS + TAIL {
                caller.send(&noise(number, LEN)).expect("sent");
                pace();
            }
        });
        receive(&accepted, reader)
    });
    if accepted.option::<opt::CryptoMode>() == Ok(CryptoMode::Gcm) {
        wait_until("forged packets to be counted", || {
            accepted.stats().expect("connected").total.undecrypted.packets > 0
        });
    }
    Outcome {
        messages,
        stats: accepted.stats().expect("connected"),
    }
}

/// Receives up to the last message that counts.
fn receive(socket: &SrtSocket, reader: Reader) -> Vec<Vec<u8>> {
    let mut epoll = Epoll::new().expect("an epoll");
    let mut events = Events::with_capacity(4);
    if let Reader::Timed(timing) = reader {
        socket.set_nonblocking().expect("open");
        epoll
            .registry()
            .add(socket, Interest::READABLE, Trigger::Edge)
            .expect("open");
        socket.time_by_reader(timing);
    }
    let (last, deadline) = (noise(PACKETS - 1, LEN), Instant::now() + PATIENCE);
    let (mut buffer, mut messages) = ([0; 1500], Vec::new());
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                messages.push(buffer[..len].to_vec());
                if buffer[..len] == last {
                    return messages;
                }
            }
            Err(error) => {
                assert!(
                    error.is_would_block(),
                    "after {} messages: {error}",
                    messages.len()
                );
                // None: an event must come, or the test exceeds its deadline.
                let wait = socket.next_delivery().unwrap_or(PATIENCE);
                epoll.wait(&mut events, Some(wait)).expect("an epoll");
            }
        }
        assert!(
            Instant::now() < deadline,
            "{reader:?}: the stream stopped after {} messages",
            messages.len()
        );
    }
}

/// One packet in ten: `forge` returns what arrives with it.
fn sometimes(
    forge: impl Fn(Wire<'_>) -> Fate + Send + 'static,
) -> impl Fn(u64, Wire<'_>) -> Fate + Send + 'static {
    move |number, real| match number % 10 {
        5 => forge(real),
        _ => Fate::Pass,
    }
}

#[test]
fn gcm_delivers_the_real_packet_after_a_forged_one() {
    for reader in READERS {
        for ahead in [0, 1, 7] {
            let forge = sometimes(move |real| Fate::Precede(vec![forged(real, ahead)]));
            let outcome = stream(CryptoMode::Gcm, reader, forge);
            outcome.assert_whole(&format!("{reader:?}, {ahead} ahead"));
        }
    }
}

#[test]
fn gcm_requests_a_packet_again_whose_place_a_forged_one_would_take() {
    for reader in READERS {
        let forge = sometimes(|real| Fate::Replace(vec![forged(real, 0), forged(real, 1), forged(real, 0)]));
        let outcome = stream(CryptoMode::Gcm, reader, forge);
        outcome.assert_whole(&format!("{reader:?}"));
    }
}

#[test]
fn gcm_ignores_forged_packets_of_any_kind() {
    let kinds: [(&str, Forge); 7] = [
        ("beyond the buffer", |real| forged(real, BUFFER + 1)),
        ("far in the past", |real| forged(real, 1 << 29)),
        ("retransmission", |real| {
            forged_with(real, |packet| packet[4] |= RETRANSMISSION)
        }),
        ("key that is not known", |real| {
            forged_with(real, |packet| packet[4] ^= KEYS)
        }),
        ("not encrypted", unencrypted),
        ("shorter than its tag", |real| {
            forged_with(real, |packet| packet.truncate(16 + 4))
        }),
        ("real payload, other time", |real| {
            let mut packet = real.0.to_vec();
            packet[8] ^= 0x80;
            packet
        }),
    ];
    for (kind, forge) in kinds {
        let forge = sometimes(move |real| Fate::Precede(vec![forge(real)]));
        let outcome = stream(CryptoMode::Gcm, Reader::Timed(ReaderTiming::InOrder), forge);
        outcome.assert_whole(kind);
    }
}

#[test]
fn ctr_goes_on_after_forged_packets() {
    for reader in READERS {
        let forge = sometimes(|real| Fate::Precede(vec![forged(real, 0)]));
        let messages = stream(CryptoMode::Ctr, reader, forge).messages;
        let real = (0..PACKETS).map(|number| noise(number, LEN));
        let kept = real.zip(&messages).filter(|(real, message)| real == *message);
        assert_eq!(messages.len() as u64, PACKETS, "{reader:?}");
        assert_eq!(kept.count() as u64, PACKETS - PACKETS / 10, "{reader:?}");
    }
}

#[test]
fn ctr_ignores_packets_that_are_not_encrypted() {
    for reader in READERS {
        let forge = sometimes(|real| Fate::Precede(vec![unencrypted(real)]));
        let outcome = stream(CryptoMode::Ctr, reader, forge);
        outcome.assert_whole(&format!("{reader:?}"));
    }
}

#[test]
fn gcm_ignores_forged_packets_in_front_of_a_packet_filter() {
    let filter = PacketFilter::fec()
        .columns(10)
        .rows(5)
        .layout(FecLayout::Even)
        .arq(Arq::Always);
    let options = options(CryptoMode::Gcm).packet_filter(filter).payload_size(1316);
    for forged_in_front in [true, false] {
        let forge = sometimes(move |real| match forged_in_front {
            true => Fate::Precede(vec![forged(real, 0)]),
            false => Fate::Replace(vec![forged(real, 0)]),
        });
        let outcome = stream_with(&options, Reader::Blocking, forge);
        outcome.assert_whole(if forged_in_front { "in front" } else { "in place" });
    }
}
