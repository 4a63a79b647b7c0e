//! The `srt-gateway` binary: calls [`srt_gateway::cli`] and returns its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    srt_gateway::cli::run()
}
