//! Limits that apply to all ports together: sessions per address, and streams created by callers.

use super::*;
use crate::{access::Quotas, data::CreatedLimits};

fn call_from(
    peer: &str,
    port: &PortPolicy,
    directory: &Directory,
    streamid: &str,
) -> Result<Grant, RefusalReason> {
    let caller = Caller {
        peer: peer.parse().unwrap(),
        streamid: streamid.as_bytes(),
        handshake: None,
        bond: None,
        known: &NoResults,
    };
    match decide(port, directory, caller) {
        Decision::Admit(grant) => Ok(grant),
        Decision::Refuse(why) => Err(why),
        Decision::Wait(question) => panic!("{question:?}"),
    }
}

#[test]
fn callers_create_as_many_streams_as_the_limits_allow() {
    let mut streams = directory(&[("listed", stream_policy())]);
    streams.unknown = Some(Arc::new(stream_policy()));
    streams.quotas = Quotas {
        sessions_per_address: 0,
        created: CreatedLimits {
            all: 3,
            per_address: 2,
        },
    };
    let (publish, play) = (port(None, PortKind::Publish), port(None, PortKind::Play));
    let (here, there) = ("192.0.2.1:4000", "192.0.2.2:4000");
    let refusal = |peer, port, streamid| call_from(peer, port, &streams, streamid).unwrap_err();
    let mut held = vec![call_from(here, &publish, &streams, "a").unwrap()];
    // A waiting viewer creates a stream as well.
    held.push(call_from(here, &play, &streams, "b").unwrap());
    let why = refusal(here, &publish, "c");
    assert_eq!(why, RefusalReason::TooManyStreamsOfAddress { max: 2 });
    assert_eq!(why.code().value(), 1402);
    assert!(why.to_string().contains("max_created_streams_per_ip"), "{why}");
    assert!(
        why.failure(Some(Role::Publisher), 9998, b"c").is_none(),
        "no guess"
    );
    // Existing streams can be joined, and a stream with a table is not created by a caller.
    for streamid in ["a", "listed"] {
        held.push(call_from(here, &play, &streams, streamid).unwrap());
    }
    held.push(call_from(there, &publish, &streams, "c").unwrap());
    assert_eq!(
        refusal(there, &publish, "d"),
        RefusalReason::TooManyStreams { max: 3 }
    );
    // A relay on this machine represents many clients, but the total limit applies to it too.
    assert_eq!(
        refusal("127.0.0.1:4000", &publish, "d"),
        RefusalReason::TooManyStreams { max: 3 }
    );
    drop(held);
    call_from(here, &publish, &streams, "d").unwrap();
}

#[test]
fn an_address_has_as_many_sessions_as_the_limits_allow() {
    let mut streams = directory(&[("a", stream_policy()), ("b", stream_policy())]);
    streams.quotas.sessions_per_address = 2;
    let play = port(None, PortKind::Play);
    let call = |peer: &str, streamid| call_from(peer, &play, &streams, streamid);
    let held = ["a", "b"].map(|streamid| call("[2001:db8::1]:4000", streamid).unwrap());
    let why = call("[2001:db8::2]:4000", "a").unwrap_err();
    assert_eq!(why, RefusalReason::TooManySessions { max: 2 }, "one /64");
    assert!(why.to_string().contains("max_sessions_per_ip"), "{why}");
    assert_eq!(play.connections.taken(), 2, "a refusal holds nothing");
    let many = [(); 3].map(|()| call("127.0.0.1:4000", "a").unwrap());
    call("192.0.2.1:4000", "a").unwrap();
    drop((held, many));
    call("[2001:db8::2]:4000", "a").unwrap();
}
