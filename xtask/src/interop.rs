//! `cargo xtask interop`: tests the gateway with commonly used clients.

use crate::cargo::{plain, workspace};
use crate::install::{CXX, FFMPEG, GSTREAMER, Install, MPV, Need, PIP, SRT_TOOLS, VLC, ensure, from_pypi};
use crate::steps::run;
use anyhow::Result;
use std::process::Command;

/// What the tests need besides the packages from PyPI.
pub(crate) const NEEDS: [Need; 7] = [CXX, SRT_TOOLS, FFMPEG, GSTREAMER, VLC, MPV, PIP];

/// Runs all rows of the table, or those whose names contain `only`.
///
/// # Errors
/// If a client is missing, or a row fails.
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
/// If they cannot be fetched or built.
pub(crate) fn rust_peers() -> Result<()> {
    let mut command = plain("build");
    command.args([
        "--locked",
        "--manifest-path",
        "tests/interop/rust_peers/Cargo.toml",
    ]);
    run(command.args(["--target-dir", "target/interop/rust"]))
}

/// Runs the daily selection of rows; the clients are installed, and the gateway is built.
///
/// # Errors
/// If a row fails.
pub(crate) fn short() -> Result<()> {
    run(&mut test())
}

fn test() -> Command {
    let mut command = workspace("test");
    command.args(["--test", "interop", "--", "--nocapture"]);
    command
}
