//! libsrt's log goes where the application directs it, and nowhere by default.
//!
//! The test starts this program again, to inspect its standard error.

mod support;

use std::{
    env,
    process::{Command, Stdio},
};

use srt_safe::{Epoll, Interest, SrtListener, SrtSocket, Trigger};
use support::{V4, accept, addr_of};

const CHILD: &str = "SRT_SAFE_QUIET_CHILD";

#[test]
fn nothing_is_written_to_standard_error() {
    if env::var_os(CHILD).is_some() {
        connect_and_close();
        return;
    }
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "nothing_is_written_to_standard_error", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .expect("this program starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Actions that are no fault, although libsrt logs lines of level error about them.
fn connect_and_close() {
    let listener = SrtListener::bind(V4).expect("a listener");
    for _ in 0..3 {
        let caller = SrtSocket::connect(addr_of(&listener)).expect("a connection");
        let accepted = accept(&listener);
        let epoll = Epoll::new().expect("an epoll");
        epoll
            .registry()
            .add(&accepted, Interest::READABLE, Trigger::Edge)
            .expect("open");
        caller.shutdown().expect("open");
        accepted.recv(&mut [0; 1500]).expect_err("the end");
        accepted.shutdown().expect("open");
        epoll.registry().remove(&accepted).ok();
    }
    SrtSocket::connect("127.0.0.1:9").expect_err("nobody is there");
}
