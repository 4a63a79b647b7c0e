//! Repository tasks: `cargo xtask --help`. CI and developers run the same tasks.
//!
//! Each task calls cargo with the same packages, features and profile as the others, so that a run of all of them
//! compiles everything once.

mod bench;
mod bindings;
mod cargo;
mod checked;
mod deny;
mod install;
mod interop;
mod lint;
mod package;
mod soak;
mod static_build;
mod steps;
mod test;
mod web;

use anyhow::Result;
use checked::Sanitizer;
use clap::{Args, Parser, Subcommand};
use install::Install;
use std::process::ExitCode;
use steps::Steps;

#[derive(Debug, Parser)]
#[command(about = "Tasks of the SRT gateway's repository", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run all tests; installs the programs they talk to if they are missing
    Test(MayInstall),
    /// Check formatting, clippy, documentation, dependencies and the checked-in bindings
    Lint(MayInstall),
    /// Do what CI does: lint, then test
    Ci(MayInstall),
    /// Generate srt-sys/src/bindings.rs from the pinned headers
    Bindings {
        /// Compare with the checked-in file, change nothing
        #[arg(long)]
        check: bool,
    },
    /// Check licenses, bans and sources of all dependencies with cargo-deny
    Deny(MayInstall),
    /// Make the Debian package, target/package/srt-gateway.deb
    Package {
        /// Package the debug build that `cargo build` made, for the tests
        #[arg(long)]
        debug: bool,
        /// Make an archive with a statically linked binary instead, target/static/srt-gateway-*.tar.gz, and test that it relays
        #[arg(long = "static", conflicts_with = "debug")]
        fixed: bool,
        #[command(flatten)]
        may: MayInstall,
    },
    /// Run srt-safe's tests under AddressSanitizer, LeakSanitizer and, for libsrt, UndefinedBehaviorSanitizer
    Asan {
        /// Arguments of `cargo test`, such as `--test collected`; all tests without any
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run srt-safe's tests with libsrt under ThreadSanitizer
    Tsan {
        /// Arguments of `cargo test`, such as `--test collected`; all tests without any
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Measure the gateway against the floor, loads and rounds of benches/targets.toml: ten minutes on a quiet machine
    Bench {
        /// Arguments of `srt-gateway bench compare`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run the gateway under load and abuse of all kinds; fail if its memory grows or an unaffected stream loses a packet
    Soak {
        /// Duration in hours
        #[arg(long, default_value_t = 0.0)]
        hours: f64,
        /// Duration in minutes
        #[arg(long, default_value_t = 0.0, conflicts_with = "hours")]
        minutes: f64,
    },
    /// Test every client with every port, encryption, streamid and address family; `cargo xtask test` tests a selection
    Interop {
        /// Only rows whose names contain this, such as "Vlc Play"
        #[arg(long)]
        only: Option<String>,
        #[command(flatten)]
        may: MayInstall,
    },
    /// Model-check the ring with loom
    Loom {
        /// Arguments of the test
        #[arg(last = true)]
        args: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct MayInstall {
    /// Install nothing; report missing programs and stop
    #[arg(long)]
    no_install: bool,
}

impl MayInstall {
    fn install(&self) -> Install {
        if self.no_install {
            Install::Forbidden
        } else {
            Install::Allowed
        }
    }
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not the Debug form: with RUST_BACKTRACE set for the tests, it would print a backtrace of a failed step.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Test(may) => test::all(may.install()),
        Task::Lint(may) => lint::all(may.install()),
        Task::Ci(may) => {
            let mut steps = Steps::new();
            steps.run("lint", || lint::all(may.install()));
            steps.run("test", || test::all(may.install()));
            steps.finish()
        }
        Task::Bindings { check: true } => bindings::check(),
        Task::Bindings { check: false } => bindings::update(),
        Task::Deny(may) => deny::check(may.install()),
        Task::Package { fixed: true, may, .. } => static_build::package(may.install()),
        Task::Package { debug, may, .. } => {
            let build = if debug {
                package::Build::Debug
            } else {
                package::Build::Release
            };
            package::debian(build, may.install())
        }
        Task::Asan { args } => checked::sanitized(Sanitizer::Address, &args),
        Task::Tsan { args } => checked::sanitized(Sanitizer::Thread, &args),
        Task::Bench { args } => bench::long(&args),
        Task::Soak { hours, minutes } => {
            let seconds = hours.mul_add(3600.0, minutes * 60.0);
            // Two minutes by default.
            let seconds = if seconds > 0.0 { seconds } else { 120.0 };
            soak::run_for(std::time::Duration::try_from_secs_f64(seconds)?.as_secs())
        }
        Task::Interop { only, may } => interop::all(only.as_deref(), may.install()),
        Task::Loom { args } => checked::loom(&args),
    }
}
