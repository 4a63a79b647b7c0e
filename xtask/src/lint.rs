//! `cargo xtask lint`: everything that CI checks besides the tests.

use crate::cargo::{cargo, plain, root, without_linking, workspace};
use crate::install::{CXX, Install, LIBCLANG, ensure};
use crate::steps::{Steps, run};
use crate::{bindings, deny};
use anyhow::Result;

/// Runs all checks and reports all failures.
pub(crate) fn all(install: Install) -> Result<()> {
    ensure(&[CXX, LIBCLANG], install)?;
    let mut steps = Steps::new();
    steps.run("formatting", || run(plain("fmt").args(["--all", "--check"])));
    steps.run("clippy", || {
        run(without_linking(workspace("clippy")).args(["--all-targets", "--", "-D", "warnings"]))
    });
    steps.run("documentation", || {
        run(without_linking(workspace("doc"))
            .arg("--no-deps")
            .env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("safe crate without features", || {
        run(without_linking(cargo("clippy")).args([
            "-p",
            "srt-safe",
            "--no-default-features",
            "--",
            "-D",
            "warnings",
        ]))
    });
    // They include files of the gateway by path, so only this check notices when those need another file.
    steps.run("fuzz targets", || {
        let mut check = without_linking(cargo("check"));
        check.arg("--manifest-path").arg(root().join("fuzz/Cargo.toml"));
        run(check.arg("--target-dir").arg(root().join("target")))
    });
    steps.run("bindings", bindings::check);
    steps.run("dependencies", || deny::check(install));
    steps.finish()
}
