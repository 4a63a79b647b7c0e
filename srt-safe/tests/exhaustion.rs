//! A process without free descriptors. The limit applies to the process, so this program has one test.

mod support;

use std::fs::File;

use srt_safe::{Epoll, ErrorKind, SrtListener, SrtSocket};
use support::{V4, addr_of, open_descriptors, refused};

#[test]
fn errors_of_a_process_without_descriptors_are_of_that_kind() {
    let listener = SrtListener::bind(V4).expect("a listener");
    let addr = addr_of(&listener);
    set_limit(open_descriptors() + 8);
    let others: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let bound = refused(SrtListener::bind(V4));
    let connected = refused(SrtSocket::connect(addr));
    let waited = refused(Epoll::new());
    drop(others);
    for error in [bound, connected, waited] {
        assert_eq!(error.kind(), ErrorKind::OutOfResources, "{error}");
        assert_eq!(error.os_errno(), Some(libc::EMFILE), "{error}");
    }
    SrtSocket::connect(addr).expect("there are descriptors again");
}

fn set_limit(descriptors: usize) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a local that outlives the call.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(got, 0);
    limit.rlim_cur = descriptors.try_into().expect("a small number");
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
}
