//! How the tasks call cargo: with one set of packages and features.
//!
//! Cargo unifies features over the packages that it builds. Building the whole workspace every time, and selecting by
//! target, keeps the result of one step useful to the next; `-p` would compile shared dependencies again.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Every optional feature but two of libsrt-sys: `system` links another library, `bindgen` needs libclang.
const FEATURES: &str = "srt-safe/async,srt-safe/tracing";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the root of the repository")
        .to_path_buf()
}

/// `cargo <subcommand>` in the root of the repository. In CI, with a locked Cargo.lock and without incremental data,
/// which a single run never uses.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = plain(subcommand);
    if env::var_os("CI").is_some() {
        command.arg("--locked").env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// `cargo <subcommand>` for subcommands without cargo's own options.
pub(crate) fn plain(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).arg(subcommand);
    command
}

/// `cargo <subcommand>` on the whole workspace with the features of all tasks.
pub(crate) fn workspace(subcommand: &str) -> Command {
    let mut command = cargo(subcommand);
    command.args(["--workspace", "--features", FEATURES]);
    command
}

/// `cargo test` on the whole workspace. A test program that runs for longer than `limit` is ended and counts as failed,
/// so that a test that hangs is named within the time that CI allows for everything.
pub(crate) fn tests(limit: Duration) -> Command {
    let mut command = workspace("test");
    let seconds = limit.as_secs();
    // In the foreground, so that Ctrl-C reaches the tests as well.
    command.arg("--config").arg(format!(
        "target.'cfg(unix)'.runner=['timeout','--foreground','--verbose','--kill-after=10','{seconds}']"
    ));
    command
}

/// For a command that links nothing: skips libsrt's C++. In CI only, because developers link afterwards, and would have
/// to build it again.
pub(crate) fn without_linking(mut command: Command) -> Command {
    if env::var_os("CI").is_some() {
        command.env("LIBSRT_SYS_HEADERS_ONLY", "1");
    }
    command
}

/// The output of `command`, a cargo that prints JSON, by line.
pub(crate) fn json_lines(command: &mut Command) -> Result<Vec<Value>> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).context("cargo prints JSON"))
        .collect()
}

/// The names of the workspace's integration tests, except for the end-to-end tests, which run last, and those with a
/// step of their own.
pub(crate) fn integration_tests() -> Result<Vec<String>> {
    let metadata = json_lines(cargo("metadata").args(["--no-deps", "--format-version", "1"]))?;
    Ok(test_targets(&metadata)
        .into_iter()
        .filter(|name| !["e2e", "soak", "interop"].contains(&name.as_str()))
        .collect())
}

fn test_targets(metadata: &[Value]) -> Vec<String> {
    let packages = metadata
        .iter()
        .filter_map(|line| line["packages"].as_array())
        .flatten();
    let targets = packages
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    let is_test = |target: &&Value| {
        target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"test".into()))
    };
    // A test with features that no task enables has a task of its own (loom).
    let is_plain = |target: &&Value| target["required-features"].as_array().is_none_or(Vec::is_empty);
    let names = targets
        .filter(is_test)
        .filter(is_plain)
        .filter_map(|target| target["name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::{integration_tests, test_targets};
    use serde_json::json;

    #[test]
    fn only_tests_are_listed_once_each() {
        let metadata = json!({"packages": [
            {"targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["test"], "name": "t"}]},
            {"targets": [{"kind": ["test"], "name": "t"}, {"kind": ["test"], "name": "m", "required-features": ["x"]}]},
        ]});
        assert_eq!(test_targets(&[metadata]), ["t"]);
    }

    #[test]
    fn end_to_end_tests_are_left_for_last() {
        assert!(!integration_tests().unwrap().contains(&"e2e".to_owned()));
    }
}
