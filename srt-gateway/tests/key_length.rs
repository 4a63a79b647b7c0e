//! The length of AES keys: the caller's by default, and at least `min_key_length` if set.

mod peers;

use std::net::SocketAddr;

use peers::{gateway, port, wait_for, wait_state, wait_until};
use srt_gateway::{EndpointState, Gateway, Role};
use srt_safe::{KeyLength, Options, Passphrase, SrtSocket, StreamId};

const SECRET: &str = "a passphrase of the test";

const ALL: [(KeyLength, &str); 3] = [
    (KeyLength::Aes128, "AES-128"),
    (KeyLength::Aes192, "AES-192"),
    (KeyLength::Aes256, "AES-256"),
];

fn call(to: SocketAddr, length: KeyLength) -> srt_safe::Result<SrtSocket> {
    let options = Options::new()
        .stream_id(StreamId::new("#!::r=a,m=publish").unwrap())
        .passphrase(Passphrase::new(SECRET).unwrap())
        .key_length(length);
    SrtSocket::builder().options(options).connect(to)
}

/// Calls with each length. Callers with less than `least` are refused with the reason; the sessions of the others have
/// the caller's key length.
#[track_caller]
fn assert_least(gateway: &Gateway, to: SocketAddr, least: usize) {
    for (at, (length, name)) in ALL.into_iter().enumerate() {
        if at < least {
            let error = call(to, length).expect_err(name);
            assert_eq!(
                error.reject_reason().map(|reason| reason.value()),
                Some(1400),
                "{name}"
            );
            wait_until("the refusal to be recorded", || {
                let all = gateway.rejections();
                all.iter()
                    .any(|kept| kept.reason.contains(&format!("encrypts with {name}")))
            });
            assert!(gateway.sessions().is_empty());
            continue;
        }
        let caller = wait_for("a place", || call(to, length).ok());
        wait_until("the session", || {
            let sessions = gateway.sessions();
            sessions.len() == 1 && sessions[0].facts.encryption == name
        });
        drop(caller);
        wait_until("its end", || gateway.sessions().is_empty());
    }
}

#[test]
fn callers_with_shorter_keys_than_the_port_demands_are_refused() {
    let strict = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\npassphrase = \"{SECRET}\"\nmin_key_length = 32\n[streams.a]\n"
    ));
    assert_least(&strict, port(&strict), 2);
}

#[test]
fn a_port_follows_the_key_lengths_of_its_callers() {
    let open = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\npassphrase = \"{SECRET}\"\n[streams.a]\n"
    ));
    assert_least(&open, port(&open), 0);
}

#[test]
fn a_listening_input_demands_its_key_length_as_a_port_does() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let secret = SECRET.replace(' ', "%20");
    let relay = gateway(&format!(
        "[srt]\nport = \"127.0.0.1:0\"\n[streams.a]\ninputs = [\"srt://{free}?mode=listener&passphrase={secret}&min_key_length=24\"]\n"
    ));
    wait_state(&relay, Role::Publisher, 0, EndpointState::Listening);
    assert_least(&relay, free, 1);
}
