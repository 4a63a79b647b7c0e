//! What only libsrt's log reports: why encryption ended a handshake, and whose handshake. The texts are those of the
//! linked library; older installed versions have other ones.
#![cfg(not(feature = "system"))]

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use srt_safe::{
    AccessRequest, Admission, CryptoMode, Options, Passphrase, RejectReason, SocketId, SrtListener,
    SrtSocket,
    log::{self, EncryptionFault, LogLevel},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).expect("long enough")
}

fn here() -> Options {
    Options::new()
        .passphrase(passphrase("the right one"))
        .crypto_mode(CryptoMode::Ctr)
}

#[test]
fn faults_of_encryption_name_the_socket_that_access_control_saw() {
    let (told, faults) = mpsc::channel();
    let watch = log::subscribe(LogLevel::Error, move |line| {
        if let Some(fault) = line.encryption_fault() {
            told.send(fault).expect("the test listens");
        }
    })
    .expect("subscribes");

    let seen = Arc::new(Mutex::new(None::<SocketId>));
    let note = Arc::clone(&seen);
    let listener = SrtListener::builder()
        .access_control(move |request: &AccessRequest<'_>| {
            *note.lock().expect("not poisoned") = Some(request.socket_id());
            Admission::new().options(here())
        })
        .bind("127.0.0.1:0")
        .expect("a listener");

    let cases = [
        (
            Options::new().passphrase(passphrase("the wrong one")),
            EncryptionFault::Passphrase,
            RejectReason::BAD_SECRET,
        ),
        (Options::new(), EncryptionFault::Missing, RejectReason::UNSECURE),
        (
            here().crypto_mode(CryptoMode::Gcm),
            EncryptionFault::CryptoMode,
            RejectReason::CRYPTO,
        ),
    ];
    for (options, expected, reason) in cases {
        let error = SrtSocket::builder()
            .options(options)
            .connect(listener.local_addr().expect("bound"))
            .expect_err("refused");
        assert_eq!(error.reject_reason(), Some(reason), "{error}");
        let socket = seen.lock().expect("not poisoned").expect("asked");
        let told = loop {
            // The caller, in the same process, logs a fault of its own socket as well.
            let fault = faults
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("the log says nothing of {expected:?}"));
            if fault.0 == socket {
                break fault.1;
            }
        };
        assert_eq!(told, expected);
    }
    assert!(log::flush(PATIENCE));
    assert_eq!(log::dropped_lines(), 0);
    drop(watch);
}

#[test]
fn accept_logs_nothing_when_it_finds_no_caller() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let watch = log::subscribe(LogLevel::Error, move |line| {
        if line.message().contains("accept") {
            seen.lock().expect("not poisoned").push(line.message().to_owned());
        }
    })
    .expect("subscribes");
    let listener = SrtListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking();
    let error = listener.accept().expect_err("nobody has called");
    assert!(error.is_would_block(), "{error}");
    assert!(log::flush(PATIENCE));
    drop(watch);
    assert_eq!(*lines.lock().expect("not poisoned"), Vec::<String>::new());
}
