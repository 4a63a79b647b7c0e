//! Without a free descriptor, callers are refused; nothing leaks or crashes, and existing connections continue. One
//! test, because the limit applies to the process.

// An installed library lacks the edits.
#![cfg(not(feature = "system"))]

#[path = "../../tests/support/raw/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses a part"
)]
mod raw;
mod support;

use std::{fs::File, net::SocketAddr, time::Duration};

use raw::{Control, Extension, Handshake, RawPeer};
use srt_safe::{Options, Passphrase, SrtListener, SrtSocket};
use support::{accept, addr_of, exchange, open_descriptors, wait_until};

const GROUP_ID: u32 = 0x4000_0000;
const BROADCAST: u8 = 1;
const BACKUP: u8 = 2;

/// What callers do wrong, or, at the limit, right.
type Wrong = fn(Handshake) -> Handshake;

/// The same conclusion without the common extension.
fn bare(mut handshake: Handshake) -> Handshake {
    handshake.extensions.clear();
    handshake
}

fn with_request(handshake: Handshake, version: u32, flags: u32) -> Handshake {
    let request = Extension::of_words(Extension::HS_REQUEST, &[version, flags, 0x0078_0078]);
    bare(handshake).with(request)
}

fn key_material(handshake: Handshake, material: &[u8]) -> Handshake {
    handshake.with(Extension::new(Extension::KM_REQUEST, material.to_vec()))
}

/// Key material as libsrt sends it for AES-128, wrapped with a passphrase that is not the listener's.
fn foreign_key() -> Vec<u8> {
    let mut material = vec![0x12, 0x20, 0x29, 0x01, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4];
    material.extend([0x5A; 16 + 24]);
    material
}

/// Every way in which a caller can end a handshake.
const WAYS: [(&str, Wrong); 16] = [
    ("nothing wrong", |handshake| handshake),
    ("no extension", bare),
    ("version 4", |mut handshake| {
        handshake.version = 4;
        bare(handshake)
    }),
    ("an unknown version", |mut handshake| {
        handshake.version = 6;
        handshake
    }),
    ("a small MSS", |mut handshake| {
        handshake.mss = 64;
        handshake
    }),
    ("no flow window", |mut handshake| {
        handshake.flow_window = 0;
        handshake
    }),
    ("an old SRT", |handshake| {
        with_request(handshake, 0x0001_0201, 0x3F)
    }),
    ("the stream API", |handshake| {
        with_request(handshake, 0x0001_0507, 0x7F)
    }),
    ("file mode", |handshake| {
        handshake.with(Extension::text(Extension::CONGESTION, "file"))
    }),
    ("an unknown filter", |handshake| {
        handshake.with(Extension::text(Extension::FILTER, "nonsense,cols:3"))
    }),
    ("broken key material", |handshake| {
        key_material(handshake, &[0; 16])
    }),
    ("a foreign key", |handshake| {
        key_material(handshake, &foreign_key())
    }),
    ("a group that is none", |handshake| {
        handshake.with(Extension::group(1, BROADCAST, 0, 0))
    }),
    ("a group of no type", |handshake| {
        handshake.with(Extension::group(GROUP_ID | 7, 200, 0, 0))
    }),
    ("a truncated group", |handshake| {
        handshake.with(Extension::of_words(Extension::GROUP, &[GROUP_ID | 8]))
    }),
    ("two groups", |handshake| {
        let first = Extension::group(GROUP_ID | 9, BROADCAST, 0, 0);
        handshake
            .with(first)
            .with(Extension::group(GROUP_ID | 10, BROADCAST, 0, 0))
    }),
];

/// Whether the caller is admitted. Some handshakes get no answer at all.
fn is_let_in(peer: &RawPeer, group: Option<Extension>, wrong: Wrong) -> bool {
    let cookie = peer.induce().cookie;
    let mut conclusion = peer.conclusion(cookie, "");
    if let Some(group) = group {
        conclusion = conclusion.with(group);
    }
    let answer = peer.exchange(&wrong(conclusion), Duration::from_millis(600));
    match answer {
        Some(answer) if answer.refusal().is_none() => {
            peer.send_to_socket(answer.socket_id, Control::shutdown());
            true
        }
        _ => false,
    }
}

fn set_limit(soft: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes the struct it is given.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = soft.min(limit.rlim_max);
    // SAFETY: reads the struct it is given.
    let written = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!((read, written), (0, 0));
}

/// Takes all remaining descriptors.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

struct Port {
    listener: SrtListener,
    addr: SocketAddr,
    caller: SrtSocket,
    accepted: SrtSocket,
}

fn open(options: &Options, caller: Options) -> Port {
    let listener = support::listener(options);
    let addr = addr_of(&listener);
    let caller = SrtSocket::builder()
        .options(caller)
        .connect(addr)
        .expect("a connection");
    let accepted = accept(&listener);
    Port {
        listener,
        addr,
        caller,
        accepted,
    }
}

#[test]
fn callers_are_refused_at_the_descriptor_limit() {
    let live = Options::new().latency(Duration::from_millis(40));
    let secret = || Passphrase::new("the passphrase").expect("long enough");
    let plain = open(&live.clone().group_connect(true), live.clone());
    let encrypted = open(
        &live.clone().group_connect(true).passphrase(secret()),
        live.clone().passphrase(secret()),
    );
    for spare in 0..=2 {
        for port in [&plain, &encrypted] {
            let callers: Vec<_> = (0..WAYS.len())
                .map(|_| [(); 3].map(|()| RawPeer::new(port.addr)))
                .collect();
            let descriptors = open_descriptors();
            set_limit(descriptors as u64 + 20);
            let mut taken = take_all();
            taken.truncate(taken.len() - spare);
            for ((number, (name, wrong)), peers) in (100..).zip(WAYS).zip(&callers) {
                let group = |kind| Some(Extension::group(GROUP_ID | number, kind, 0, 0));
                let groups = [None, group(BROADCAST), group(BACKUP)];
                let let_in = peers
                    .iter()
                    .zip(groups)
                    .filter(|(peer, group)| is_let_in(peer, group.clone(), wrong));
                let let_in = let_in.count();
                // A group takes two descriptors.
                assert!(
                    spare == 2 || let_in <= 1,
                    "{let_in} with {spare} descriptors: {name}"
                );
            }
            exchange(&port.caller, &port.accepted, 5);
            exchange(&port.accepted, &port.caller, 5);
            while port.listener.accept_timeout(Duration::ZERO).is_ok() {}
            set_limit(u64::MAX);
            drop(taken);
            wait_until("the descriptors to be closed", || {
                open_descriptors() <= descriptors
            });
        }
    }
    // Once there are descriptors again, bonded callers are admitted.
    let peer = RawPeer::new(plain.addr);
    let group = Extension::group(GROUP_ID | 1, BROADCAST, 0, 0);
    assert!(is_let_in(&peer, Some(group), |handshake| handshake));
}
