//! Tests of the bridge with a capturing logger, and lines passed to the handler as by libsrt. One test function,
//! because there is one log per process.

use std::{
    ffi::CString,
    sync::{
        Mutex, RwLock,
        mpsc::{self, RecvTimeoutError},
    },
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Held for writing by the test of the log, and for reading by tests that make libsrt log: `cargo test` runs them in
/// one process.
pub(crate) static LOG: RwLock<()> = RwLock::new(());

/// Records the lines passed to the `log` crate.
struct Capture(Mutex<Vec<Captured>>);

type Captured = (::log::Level, String, String, Option<u32>);

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

impl Capture {
    fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut *self.0.lock().expect("not poisoned"))
    }
}

impl ::log::Log for Capture {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.target().starts_with("libsrt")
    }

    fn log(&self, record: &::log::Record<'_>) {
        if record.args().to_string().contains("panic") {
            panic!("a logger that panics, on purpose");
        }
        self.0.lock().expect("not poisoned").push((
            record.level(),
            record.target().to_owned(),
            record.args().to_string(),
            record.line(),
        ));
    }

    fn flush(&self) {}
}

fn emit(level: i32, message: &str) {
    let message = CString::new(message).expect("no zero");
    // SAFETY: the strings are terminated and outlive the call.
    unsafe {
        handler::handle(
            std::ptr::null_mut(),
            level,
            c"core.cpp".as_ptr(),
            77,
            std::ptr::null(),
            message.as_ptr(),
        );
    }
}

#[test]
fn the_log_reaches_loggers_and_subscribers_and_never_blocks() {
    let _alone = LOG.write().expect("nobody panics with it");
    ::log::set_logger(&CAPTURE).expect("the only logger");
    ::log::set_max_level(::log::LevelFilter::Trace);
    install(LogBridge::to_log().queue(8).level(LogLevel::Note)).expect("installs");

    emit(libc::LOG_ERR, "*E:SRT.cn: @9: failed");
    emit(libc::LOG_DEBUG, " D:SRT.cn: too much detail");
    emit(libc::LOG_NOTICE, ".N:SRT.sm: noted");
    assert!(flush(PATIENCE));
    assert_eq!(
        CAPTURE.take(),
        [
            (
                ::log::Level::Error,
                "libsrt::conn".into(),
                "@9: failed".into(),
                Some(77)
            ),
            (
                ::log::Level::Info,
                "libsrt::sockmgmt".into(),
                "noted".into(),
                Some(77)
            ),
        ]
    );

    a_line_of_libsrt_itself_arrives();
    a_full_queue_drops_and_tells();
    who_panics_stops_nobody();
    subscribers_are_called_until_they_are_dropped();

    uninstall();
    emit(libc::LOG_ERR, "*E:SRT.cn: into the void");
    assert!(flush(PATIENCE));
    assert!(CAPTURE.take().is_empty());
}

/// libsrt logs an unknown packet filter.
fn a_line_of_libsrt_itself_arrives() {
    let socket = crate::ffi::OwnedSocket::create().expect("a socket");
    let refused = crate::ffi::set_socket_flag_bytes(
        socket.id(),
        libsrt_sys::SRT_SOCKOPT::SRTO_PACKETFILTER,
        b"no-such-filter,cols:7",
    );
    assert!(refused.is_err());
    assert!(flush(PATIENCE));
    let lines = CAPTURE.take();
    assert!(
        lines.iter().any(|(level, target, text, line)| {
            *level <= ::log::Level::Warn
                && target.starts_with("libsrt::")
                && !text.contains("SRT.")
                && line.is_some_and(|line| line > 0)
        }),
        "{lines:?}"
    );
}

fn a_full_queue_drops_and_tells() {
    let (entered, wait_entered) = mpsc::channel();
    let (release, wait_release) = mpsc::channel::<()>();
    let wait_release = Mutex::new(wait_release);
    let blocker = subscribe(LogLevel::Error, move |line| {
        if line.message() == "block" {
            entered.send(()).expect("the test waits");
            wait_release
                .lock()
                .expect("one thread")
                .recv_timeout(PATIENCE)
                .expect("released");
        }
    })
    .expect("subscribes");
    let before = dropped_lines();
    emit(libc::LOG_ERR, "*E:SRT.cn: block");
    wait_entered
        .recv_timeout(PATIENCE)
        .expect("the drainer is inside");
    for n in 0..20 {
        emit(libc::LOG_ERR, &format!("*E:SRT.cn: flood {n}"));
    }
    assert_eq!(
        dropped_lines() - before,
        12,
        "8 wait, the others are dropped at once"
    );
    assert!(
        !flush(Duration::from_millis(1)),
        "nothing moves while the drainer is held"
    );
    release.send(()).expect("the drainer waits");
    assert!(flush(PATIENCE));
    drop(blocker);
    let lines = CAPTURE.take();
    assert!(
        lines
            .iter()
            .any(|(_, target, text, _)| target == "libsrt" && text.starts_with("12 lines")),
        "{lines:?}"
    );
}

fn who_panics_stops_nobody() {
    let (seen, lines) = mpsc::channel();
    let bad = subscribe(LogLevel::Error, |_| {
        panic!("a subscriber that panics, on purpose")
    })
    .expect("subscribes");
    let good = subscribe(LogLevel::Error, move |line| {
        seen.send(line.clone()).expect("the test listens");
    })
    .expect("subscribes");
    emit(libc::LOG_ERR, "*E:SRT.cn: panic");
    emit(libc::LOG_ERR, "*E:SRT.cn: afterwards");
    assert!(flush(PATIENCE));
    let texts: Vec<_> = lines.try_iter().map(|line| line.message().to_owned()).collect();
    assert_eq!(texts, ["panic", "afterwards"]);
    assert_eq!(
        CAPTURE.take().len(),
        1,
        "the logger panicked at the first and got the second"
    );
    drop((bad, good));
}

fn subscribers_are_called_until_they_are_dropped() {
    let (seen, lines) = mpsc::channel();
    let debug = subscribe(LogLevel::Debug, move |line| {
        // Inside a subscriber, waiting for itself must not hang.
        assert!(!flush(PATIENCE));
        seen.send(line.level()).expect("the test listens");
    })
    .expect("subscribes");
    emit(libc::LOG_DEBUG, " D:SRT.cn: detail");
    assert_eq!(lines.recv_timeout(PATIENCE), Ok(LogLevel::Debug));
    drop(debug);
    emit(libc::LOG_ERR, "*E:SRT.cn: later");
    assert!(flush(PATIENCE));
    assert_eq!(lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    assert_eq!(
        CAPTURE.take().len(),
        1,
        "the bridge's own level does not let debug lines through"
    );
}
