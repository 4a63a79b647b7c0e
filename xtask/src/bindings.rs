//! `cargo xtask bindings`: compares the checked-in bindings with those that bindgen generates from the pinned headers.

use crate::cargo::{cargo, json_lines, root};
use crate::steps::run;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Updates srt-sys/src/bindings.rs.
pub(crate) fn update() -> Result<()> {
    fs::write(checked_in(), generate()?).context("cannot write srt-sys/src/bindings.rs")
}

/// Fails if srt-sys/src/bindings.rs differs from bindgen's output for the pinned headers.
pub(crate) fn check() -> Result<()> {
    let fresh = generate()?;
    let kept = fs::read_to_string(checked_in()).context("cannot read srt-sys/src/bindings.rs")?;
    if fresh == kept {
        return Ok(());
    }
    let difference = fresh
        .lines()
        .zip(kept.lines())
        .enumerate()
        .find(|(_, (fresh, kept))| fresh != kept);
    match difference {
        Some((line, (fresh, kept))) => bail!(
            "srt-sys/src/bindings.rs differs from the headers, first in line {}: it has\n  {kept}\nand should have\n  \
             {fresh}\nRun `cargo xtask bindings`.",
            line + 1
        ),
        None => {
            bail!("srt-sys/src/bindings.rs differs from the headers in length. Run `cargo xtask bindings`.")
        }
    }
}

fn checked_in() -> PathBuf {
    root().join("srt-sys/src/bindings.rs")
}

/// Makes libsrt-sys generate its bindings, and formats them.
fn generate() -> Result<String> {
    let mut command = cargo("check");
    command.args([
        "-p",
        "libsrt-sys",
        "--features",
        "bindgen",
        "--message-format",
        "json-render-diagnostics",
    ]);
    // Bindgen reads headers; with its feature on, nothing else uses this build of the crate.
    command.env("LIBSRT_SYS_HEADERS_ONLY", "1");
    let messages = json_lines(&mut command)?;
    let out_dir = messages
        .iter()
        .filter(|message| message["reason"] == "build-script-executed")
        .filter(|message| {
            message["package_id"]
                .as_str()
                .is_some_and(|id| id.contains("srt-sys#libsrt-sys"))
        })
        .find_map(|message| message["out_dir"].as_str())
        .context("cargo names no output folder of libsrt-sys's build script")?;
    let generated = PathBuf::from(out_dir).join("bindings.rs");
    let copy = root().join("target/bindings.rs");
    fs::copy(&generated, &copy).with_context(|| format!("libsrt-sys wrote no {}", generated.display()))?;
    run(Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root())
        .arg(&copy))?;
    fs::read_to_string(&copy).context("cannot read the formatted bindings")
}
