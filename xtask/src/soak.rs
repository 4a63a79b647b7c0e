//! `cargo xtask soak`: the gateway under all kinds of load at once, for a short time or as long as you like.

use crate::cargo::workspace;
use crate::steps::run;
use anyhow::Result;

/// The duration in the tests.
const SHORT_SECONDS: u64 = 75;

/// Runs for this long, with the test build of the gateway.
pub(crate) fn run_for(seconds: u64) -> Result<()> {
    run(workspace("build").args(["--bins"]))?;
    let mut command = workspace("test");
    command
        .args(["--test", "soak"])
        .env("SOAK_SECONDS", seconds.to_string());
    run(&mut command)
}

/// A step of the tests.
pub(crate) fn short() -> Result<()> {
    run_for(SHORT_SECONDS)
}
