//! Shared by the modules: deadlines for a busy machine, configurations, a caller's options.

use srt_safe::Options;
use std::time::Duration;

/// The time-out of all waits. Nothing takes that long unless it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// Publish and play by streamid on a port of the system's choice; any stream name.
pub(crate) const ANY_STREAM: &str = r#"
[srt]
port = "127.0.0.1:0"
[streams_default]
accept_unknown = true
"#;

/// The stream that most tests use, for its publisher and for its viewers.
pub(crate) const PUBLISH: &str = "#!::r=live/demo,m=publish";
pub(crate) const PLAY: &str = "#!::r=live/demo,m=request";
pub(crate) const DEMO: &str = "live/demo";

/// The latency of a test: enough for threads that the machine delays.
pub(crate) const LATENCY: Duration = Duration::from_millis(300);

/// Options of a caller: [`LATENCY`], and messages of any size that fits a packet.
pub(crate) fn options() -> Options {
    Options::new().latency(LATENCY).payload_size(1456)
}
