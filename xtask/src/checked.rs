//! Tests under sanitizers and loom. Each needs a separate build, in a target folder of its own, so that switching
//! between them rebuilds nothing.

use crate::cargo::{cargo, root};
use crate::steps::run;
use anyhow::{Context, Result};
use std::process::Command;

/// The tests that CI runs under AddressSanitizer: those of edits to libsrt that change threads or memory lifetimes.
const ASAN_TESTS: &[&str] = &[
    "closing_groups",
    "collected",
    "collected_closed",
    "delivery",
    "group_races",
    "sparing",
    "thread_locals",
];

/// The tests that CI runs under ThreadSanitizer: those of packets that two threads send. The others trigger further
/// upstream races, and a rare one that `tsan.supp` does not list yet would fail an unrelated change.
const TSAN_TESTS: &[&str] = &["collected", "collected_closed", "thread_locals"];

/// Tests with hundreds of connections: under ThreadSanitizer, libsrt's threads do not keep up with their
/// acknowledgements.
const LOADS: &[&str] = &[
    "a_hundred_connections_echo_at_once",
    "five_hundred_connections_leave_nothing_behind",
];

/// A set of compiler sanitizers that one build can contain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sanitizer {
    /// AddressSanitizer and LeakSanitizer, and UndefinedBehaviorSanitizer for C++.
    Address,
    /// ThreadSanitizer, for C++.
    Thread,
}

impl Sanitizer {
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "asan",
            Self::Thread => "tsan",
        }
    }

    /// Rust code is built without ThreadSanitizer: rustc's standard library is not instrumented, so ThreadSanitizer
    /// would miss Rust's locks and report what they guard.
    const fn rustflags(self) -> &'static str {
        match self {
            Self::Address => "-Zsanitizer=address",
            Self::Thread => "-Zpre-link-args=-ltsan",
        }
    }

    /// Flags for libsrt's core. The `vptr` check needs a C++ runtime that rustc does not ship. libsrt stores numbers
    /// from peers in enumerations (reject codes from 1000 on, group types) and shifts negative socket ids to the left;
    /// both are undefined in C++11 but defined by GCC and Clang, and other checks cover the indexes derived from such
    /// numbers.
    const fn cxxflags(self) -> &'static str {
        match self {
            Self::Address => {
                "-fsanitize=address,undefined -fno-sanitize=vptr,enum,shift-base -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
            }
            Self::Thread => "-fsanitize=thread -fno-omit-frame-pointer -g1",
        }
    }

    /// Flags for aws-lc and for libsrt's haicrypt. Races in aws-lc are upstream's concern.
    const fn cflags(self) -> &'static str {
        match self {
            Self::Address => "-fsanitize=address -fno-omit-frame-pointer",
            Self::Thread => "",
        }
    }

    fn options(self) -> (&'static str, String) {
        match self {
            // Two functions of libsrt's fec.cpp have a static of the same name, which gcc registers twice as one
            // global.
            Self::Address => ("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=1".to_owned()),
            Self::Thread => {
                let suppressions = root().join("xtask/tsan.supp");
                let options = format!(
                    "suppressions={}:halt_on_error=0:report_thread_leaks=0",
                    suppressions.display()
                );
                ("TSAN_OPTIONS", options)
            }
        }
    }
}

/// Runs `cargo test` on srt-safe with `args`; without arguments, all its tests and the examples that they start.
pub(crate) fn sanitized(sanitizer: Sanitizer, args: &[String]) -> Result<()> {
    let host = host()?;
    let mut test = command(sanitizer, "test", &host);
    test.arg("--no-fail-fast");
    if args.is_empty() {
        run(command(sanitizer, "build", &host).arg("--examples"))?;
        test.args(["--lib", "--tests"]);
        if matches!(sanitizer, Sanitizer::Thread) {
            test.arg("--")
                .args(LOADS.iter().flat_map(|name| ["--skip", name]));
        }
    }
    run(test.args(args))
}

/// Runs what CI runs under AddressSanitizer.
pub(crate) fn asan_edits() -> Result<()> {
    edits(Sanitizer::Address, ASAN_TESTS)
}

/// Runs what CI runs under ThreadSanitizer.
pub(crate) fn tsan_edits() -> Result<()> {
    edits(Sanitizer::Thread, TSAN_TESTS)
}

fn edits(sanitizer: Sanitizer, tests: &[&str]) -> Result<()> {
    let mut command = command(sanitizer, "test", &host()?);
    command.arg("--no-fail-fast");
    for test in tests {
        command.args(["--test", test]);
    }
    run(&mut command)
}

fn command(sanitizer: Sanitizer, subcommand: &str, host: &str) -> Command {
    let mut command = cargo(subcommand);
    command.args(["-p", "srt-safe", "--features", "async,tracing"]);
    // With an explicit target, even the host, the flags do not apply to build scripts and procedural macros.
    command
        .args(["--target", host, "--target-dir"])
        .arg(root().join("target").join(sanitizer.name()));
    // RUSTC_BOOTSTRAP makes the stable compiler accept unstable flags, with the runtime that it ships.
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", sanitizer.rustflags())
        .env("CFLAGS", sanitizer.cflags())
        .env("CXXFLAGS", sanitizer.cxxflags());
    let (name, value) = sanitizer.options();
    command.env(name, value);
    if matches!(sanitizer, Sanitizer::Thread) {
        // In parallel, the tests are so slow that their time limits expire.
        command.env("RUST_TEST_THREADS", "1");
    }
    command
}

/// Model-checks the gateway's ring; the workspace's tests run the same models for a shorter time, unoptimized.
pub(crate) fn loom(args: &[String]) -> Result<()> {
    let mut command = cargo("test");
    run(command
        .args(["-p", "srt-gateway-loom", "--release", "--"])
        .args(args))
}

/// The target triple of the host.
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
