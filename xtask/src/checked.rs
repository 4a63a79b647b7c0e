//! Tests under a checker: the address sanitizer, loom. Each builds everything in its own way, so each has a target
//! folder of its own and leaves the others' results alone.

use crate::cargo::{cargo, root};
use crate::steps::run;
use anyhow::{Context, Result};
use std::process::Command;

/// Runs srt-safe's tests, and the examples that they start, with Rust, C and C++ under the address sanitizer.
pub(crate) fn asan(args: &[String]) -> Result<()> {
    let host = host()?;
    run(sanitized("build", &host).arg("--examples"))?;
    run(sanitized("test", &host)
        .args(["--no-fail-fast", "--lib", "--tests"])
        .args(args))
}

/// The sanitizer is unstable in rustc: RUSTC_BOOTSTRAP makes the stable compiler take the flag, with the runtime it ships.
fn sanitized(subcommand: &str, host: &str) -> Command {
    const SANITIZE: &str = "-fsanitize=address -fno-omit-frame-pointer";
    let mut command = cargo(subcommand);
    command.args(["-p", "srt-safe", "--features", "async,tracing"]);
    // A target, even the host, keeps the flags off build scripts and procedural macros.
    command
        .args(["--target", host, "--target-dir"])
        .arg(root().join("target/asan"));
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("CFLAGS", SANITIZE).env("CXXFLAGS", SANITIZE);
    // Two functions of libsrt's fec.cpp have a static of the same name, which gcc registers as one global twice.
    command.env("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=1");
    command
}

/// Model-checks the gateway's ring: the workspace's tests run the same models for a shorter time, unoptimized.
pub(crate) fn loom(args: &[String]) -> Result<()> {
    let mut command = cargo("test");
    run(command
        .args(["-p", "srt-gateway-loom", "--release", "--"])
        .args(args))
}

/// The triple of the machine that compiles.
pub(crate) fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    Ok(host.to_owned())
}
