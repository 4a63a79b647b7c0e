//! The `srt-gateway` binary: a shell around [`srt_gateway::cli`] that turns its outcome into an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    srt_gateway::cli::run()
}
