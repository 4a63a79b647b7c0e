//! `cargo xtask bench`: the long comparison with the floor; the tests include a short one.

use crate::cargo::{cargo, root};
use crate::steps::run;
use anyhow::Result;
use std::process::Command;

const FEATURES: &str = "srt-safe/async,srt-safe/tracing";

/// Builds for release, runs every load of `benches/targets.toml` against the floor and the gateway, and prints the
/// table. `args` are passed to `srt-gateway bench compare`.
pub(crate) fn long(args: &[String]) -> Result<()> {
    run(cargo("build").args(["--release", "-p", "srt-gateway", "--features", FEATURES]))?;
    run(cargo("build").args([
        "--release",
        "-p",
        "srt-safe",
        "--features",
        FEATURES,
        "--example",
        "bare_relay",
    ]))?;
    compare("target/release/srt-gateway", "benches/targets.toml", args)
}

/// A hundred viewers for some seconds, with the test build. Fails only if the gateway is far behind the floor, so that
/// noise does not make it fail.
pub(crate) fn short() -> Result<()> {
    let limit = ["--fail-above".to_owned(), "1.3".to_owned()];
    compare("target/debug/srt-gateway", "benches/short.toml", &limit)
}

fn compare(program: &str, scenario: &str, args: &[String]) -> Result<()> {
    let mut command = Command::new(root().join(program));
    command
        .current_dir(root())
        .args(["bench", "compare", scenario])
        .args(args);
    run(&mut command)
}
