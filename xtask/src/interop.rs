//! `cargo xtask interop`: the gateway with the clients that people use.

use crate::cargo::{plain, workspace};
use crate::install::{CXX, FFMPEG, GSTREAMER, Install, MPV, Need, PIP, SRT_TOOLS, VLC, ensure, from_pypi};
use crate::steps::run;
use anyhow::Result;
use std::process::Command;

/// What the tests need beside the packages from PyPI.
pub(crate) const NEEDS: [Need; 7] = [CXX, SRT_TOOLS, FFMPEG, GSTREAMER, VLC, MPV, PIP];

/// Tries all rows of the table, or those whose names contain `only`.
///
/// # Errors
/// When a client is missing, or a row fails.
pub(crate) fn all(only: Option<&str>, install: Install) -> Result<()> {
    ensure(&NEEDS, install)?;
    from_pypi(install)?;
    rust_peers()?;
    run(workspace("build").args(["--bin", "srt-gateway"]))?;
    run(test().env("SRT_INTEROP", only.unwrap_or("all")))
}

/// Builds the peers that are crates, where the tests look for them.
///
/// # Errors
/// When they cannot be fetched or built.
pub(crate) fn rust_peers() -> Result<()> {
    let mut command = plain("build");
    command.args([
        "--locked",
        "--manifest-path",
        "tests/interop/rust_peers/Cargo.toml",
    ]);
    run(command.args(["--target-dir", "target/interop/rust"]))
}

/// Tries the choice of rows for every day; the clients are there, and the gateway is built.
///
/// # Errors
/// When a row fails.
pub(crate) fn short() -> Result<()> {
    run(&mut test())
}

fn test() -> Command {
    let mut command = workspace("test");
    command.args(["--test", "interop", "--", "--nocapture"]);
    command
}
