//! `cargo xtask bench`: the comparison with the floor, in its long form; the short form is a step of the tests.

use crate::cargo::{cargo, root};
use crate::steps::run;
use anyhow::Result;
use std::process::Command;

const FEATURES: &str = "srt-safe/async,srt-safe/tracing";

/// Builds for release, puts every load of `benches/targets.toml` on the floor and on the gateway, and prints the table.
/// `args` go to `srt-gateway bench compare`.
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

/// A hundred viewers for some seconds, with what the tests have built. Fails only where the gateway is far behind the floor:
/// noise must not.
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
