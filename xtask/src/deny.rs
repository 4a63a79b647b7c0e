//! `cargo xtask deny`: checks licenses, bans and sources of all dependencies with cargo-deny and deny.toml.
//!
//! Known vulnerabilities (`advisories`) are left out: their database is not in the package registries that a build
//! relies on. CONTRIBUTING.md says when to check them.

use crate::cargo::plain;
use crate::install::Install;
use crate::steps::run;
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// The version that CI uses when none is installed.
const VERSION: &str = "0.20.2";

/// Checks the dependencies; installs cargo-deny if it is missing.
pub(crate) fn check(install: Install) -> Result<()> {
    if !is_installed() {
        if install == Install::Forbidden {
            bail!("cargo-deny is missing: cargo install cargo-deny --locked --version {VERSION}");
        }
        // Unoptimized: measured on 2 cores, 67 s to install instead of 145 s, and the check takes under 2 s either way.
        let mut command = plain("install");
        command.args(["cargo-deny", "--locked", "--version", VERSION]);
        run(command
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off"))?;
    }
    run(plain("deny").args(["--workspace", "check", "licenses", "bans", "sources"]))
}

fn is_installed() -> bool {
    let mut command: Command = plain("deny");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
