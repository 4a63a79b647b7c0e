//! The `srt-gateway` binary.
#![forbid(unsafe_code)]
fn main() {}
