//! `cargo xtask soak`: the gateway under everything at once, in short or for as long as you like.

use crate::cargo::workspace;
use crate::steps::run;
use anyhow::Result;

/// Of the run that is a step of the tests.
const SHORT_SECONDS: u64 = 75;

/// Runs for so long, with a gateway that is built as the tests build it.
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
