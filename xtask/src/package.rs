//! `cargo xtask package`: the Debian package, by cargo-deb and the metadata in srt-gateway/Cargo.toml.
//!
//! Stages the contents of the package under target/package, so that the same rules build one from a release build, for
//! users, and one from the test build, for the test that installs it.

use crate::cargo::{plain, root, workspace};
use crate::install::Install;
use crate::steps::run;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of cargo-deb that is installed if there is none.
const VERSION: &str = "3.8.0";

/// Which build goes into the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Optimized, built now.
    Release,
    /// The result of an earlier `cargo build`.
    Debug,
}

/// Creates `target/package/srt-gateway.deb`.
pub(crate) fn debian(build: Build, install: Install) -> Result<()> {
    ensure_cargo_deb(install)?;
    let folder = match build {
        Build::Release => {
            // A package without the console must not be released.
            run(workspace("build")
                .args(["--release", "--bin", "srt-gateway"])
                .env("SRT_GATEWAY_WEB", "require"))?;
            "release"
        }
        Build::Debug => "debug",
    };
    let target = target_folder()?;
    let staged = root().join("target/package");
    stage(&target.join(folder).join("srt-gateway"), &staged)?;
    let package = staged.join("srt-gateway.deb");
    run(plain("deb")
        .args(["-p", "srt-gateway", "--no-build", "--output"])
        .arg(&package))?;
    eprintln!("made {}", package.display());
    Ok(())
}

/// Stages the build's files: the binary without debug symbols, its manual pages and completions.
pub(crate) fn stage(binary: &Path, staged: &Path) -> Result<()> {
    // Files that only an earlier version had must not be included.
    if staged.exists() {
        fs::remove_dir_all(staged).with_context(|| format!("cannot empty {}", staged.display()))?;
    }
    let pages = staged.join("man");
    let completions = staged.join("completions");
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    let ours = staged.join("srt-gateway");
    fs::copy(binary, &ours).with_context(|| format!("{} is missing: build first", binary.display()))?;
    run(Command::new("strip").arg(&ours))?;
    run(Command::new(&ours).arg("man").arg(&pages))?;
    for (shell, file) in [
        ("bash", "srt-gateway.bash"),
        ("fish", "srt-gateway.fish"),
        ("zsh", "_srt-gateway"),
    ] {
        let output = Command::new(&ours).args(["completions", shell]).output()?;
        if !output.status.success() {
            bail!("srt-gateway completions {shell} ended with {}", output.status);
        }
        fs::write(completions.join(file), output.stdout)?;
    }
    Ok(())
}

pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = crate::cargo::json_lines(plain("metadata").args(["--no-deps", "--format-version", "1"]))?;
    let folder = metadata.iter().find_map(|line| line["target_directory"].as_str());
    Ok(folder.context("cargo names its target directory")?.into())
}

fn ensure_cargo_deb(install: Install) -> Result<()> {
    let installed = plain("deb")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if installed {
        return Ok(());
    }
    if install == Install::Forbidden {
        bail!("cargo-deb is missing: cargo install cargo-deb --locked --version {VERSION}");
    }
    // Unoptimized, like cargo-deny and for the same reason.
    let mut command = plain("install");
    command.args(["cargo-deb", "--locked", "--version", VERSION]);
    run(command
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off"))
}
