//! A peer's packet filter uses no more memory than this side allows. One test: the limit applies to the process.

use std::fs;

use srt_safe::{Error, Options, PacketFilter, RejectReason, SrtListener, SrtSocket, set_packet_filter_limit};

/// The peak memory of this process, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn filter(text: &str) -> PacketFilter {
    text.parse().unwrap()
}

fn listener(own: Option<&str>) -> SrtListener {
    let mut options = Options::new();
    if let Some(own) = own {
        options = options.packet_filter(filter(own));
    }
    SrtListener::builder()
        .options(options)
        .bind("127.0.0.1:0")
        .unwrap()
}

fn call(listener: &SrtListener, asked: &str) -> Result<SrtSocket, Error> {
    let caller = SrtSocket::builder().options(Options::new().packet_filter(filter(asked)));
    caller.connect(listener.local_addr().unwrap())
}

#[test]
fn a_peer_names_no_more_of_a_filter_than_this_side_allows() {
    if !libsrt_sys::has_edit(libsrt_sys::EDIT_FILTER_CAP) {
        return;
    }
    let (open, columns_only) = (listener(None), listener(Some("fec,cols:10")));
    let large = listener(Some("fec,cols:300,rows:2"));
    drop(call(&open, "fec,cols:10,rows:5").unwrap());
    drop(call(&columns_only, "fec,rows:256").unwrap());
    let before = peak();
    for (listener, asked) in [
        (&open, "fec,cols:257"),
        (&open, "fec,cols:32000,rows:32000"),
        (&open, "fec,cols:2,rows:32000,layout:even"),
        (&columns_only, "fec,cols:10,rows:-65535"),
        // The caller's own side: it leaves the size to its listener, which requests a large one.
        (&large, "fec"),
    ] {
        let refused = call(listener, asked).expect_err(asked);
        assert_eq!(
            refused.reject_reason(),
            Some(RejectReason::FILTER),
            "{asked}: {refused}"
        );
    }
    let grown = peak() - before;
    assert!(grown < 32 << 20, "{grown} bytes for refused handshakes");
    // The limit does not apply to what a side has configured itself.
    drop(call(&large, "fec,cols:300,rows:2").unwrap());
    set_packet_filter_limit(300);
    drop(call(&open, "fec,cols:300").unwrap());
}
