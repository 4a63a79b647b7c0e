//! The console in web/: runs npm as steps of `cargo xtask test`.

use crate::cargo::root;
use crate::steps::{Steps, run};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn folder() -> PathBuf {
    root().join("web")
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder()).args(arguments);
    command
}

/// Checks the types, runs the unit tests, and leaves the bundle in web/dist, where a debug build takes it from.
pub(crate) fn build() -> Result<()> {
    install()?;
    let mut steps = Steps::new();
    for script in ["check", "test", "build"] {
        steps.run(&format!("npm run {script}"), || {
            run(&mut npm(&["run", "--silent", script]))
        });
    }
    steps.finish()
}

/// Runs the end-to-end tests of the console against the gateway in target/debug.
pub(crate) fn in_a_browser() -> Result<()> {
    run(&mut npm(&["run", "--silent", "e2e"]))
}

/// The packages of the lock file, unless they are already installed.
fn install() -> Result<()> {
    let read = |name: &str| fs::read(folder().join(name));
    let lock = read("package-lock.json").context("web/package-lock.json")?;
    let stamp = "node_modules/.installed.json";
    if read(stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    run(&mut npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    fs::write(folder().join(stamp), lock).with_context(|| format!("cannot write web/{stamp}"))
}
