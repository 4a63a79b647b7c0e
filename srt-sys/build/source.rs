//! Finds the source tree of libsrt, and reads the version-dependent parts from it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// A source tree of libsrt.
pub(crate) struct Source {
    pub(crate) dir: PathBuf,
    pub(crate) version: String,
    /// Whether this is the tree that `vendor/Cargo.lock` pins, for which our edits are made.
    pub(crate) pinned: bool,
}

/// The crates.io package that contains the pinned tree, and the tree's path in it.
const ARCHIVE: (&str, &str) = ("tstrans-srt-sys", "vendor/srt");

impl Source {
    pub(crate) fn locate() -> Result<Self> {
        println!("cargo::rerun-if-env-changed=LIBSRT_SOURCE_DIR");
        let (dir, pinned) = match std::env::var_os("LIBSRT_SOURCE_DIR") {
            Some(dir) => (PathBuf::from(dir), false),
            None => (pinned_tree()?, true),
        };
        if !dir.join("srtcore/srt.h").is_file() {
            return Err(format!(
                "no libsrt source in {}: it has no srtcore/srt.h. Set LIBSRT_SOURCE_DIR to a checkout of libsrt \
                 (v1.5.1 or later), or unset it to use the pinned source.",
                dir.display()
            ));
        }
        println!("cargo::rerun-if-changed={}", dir.display());
        let version = version_of(&dir)?;
        Ok(Self { dir, version, pinned })
    }

    /// The files that one list of the tree (`*.maf`) names under the headings that apply to our configuration.
    pub(crate) fn files(&self, list: &str, conditions: &[&str]) -> Result<Vec<PathBuf>> {
        let path = self.dir.join(list);
        let folder = Path::new(list).parent().unwrap_or_else(|| Path::new(""));
        let text = read(&path)?;
        let mut wanted = false;
        let mut files = Vec::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            if let Some(heading) = heading(line) {
                wanted = match heading {
                    ("SOURCES", None) => true,
                    ("SOURCES", Some(condition)) => conditions.contains(&condition),
                    _ => false,
                };
            } else if wanted {
                files.push(folder.join(line));
            }
        }
        if files.is_empty() {
            return Err(format!(
                "{} lists no sources: this libsrt tree is not supported",
                path.display()
            ));
        }
        Ok(files)
    }
}

/// `SOURCES - ENABLE_BONDING` is a heading, `group.cpp` is not.
fn heading(line: &str) -> Option<(&str, Option<&str>)> {
    let (name, condition) = match line.split_once(" - ") {
        Some((name, condition)) => (name, Some(condition.trim())),
        None => (line, None),
    };
    name.chars()
        .all(|c| c.is_ascii_uppercase() || c == ' ')
        .then_some((name.trim(), condition))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn version_of(dir: &Path) -> Result<String> {
    let path = dir.join("CMakeLists.txt");
    let text = read(&path)?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("set")?.trim_start().strip_prefix('('))
        .find_map(|line| {
            line.trim_start()
                .strip_prefix("SRT_VERSION ")?
                .trim()
                .strip_suffix(')')
        })
        .map(|version| version.trim().to_owned())
        .filter(|version| version.split('.').count() == 3)
        .ok_or_else(|| {
            format!(
                "{} does not state SRT_VERSION: this libsrt tree is not supported",
                path.display()
            )
        })
}

/// Asks cargo for the package that `vendor/Cargo.lock` pins: cargo downloads it if needed and verifies its checksum.
fn pinned_tree() -> Result<PathBuf> {
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vendor");
    let manifest = vendor.join("Cargo.toml");
    let fix = "Give the source by LIBSRT_SOURCE_DIR=<checkout of libsrt>, or link an installed libsrt with the feature `system`.";
    if !manifest.is_file() {
        return Err(format!(
            "vendor/Cargo.toml, which pins the source of libsrt, is not beside this crate. {fix}"
        ));
    }
    println!("cargo::rerun-if-changed={}", manifest.display());
    println!("cargo::rerun-if-changed={}", vendor.join("Cargo.lock").display());

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        // The compiler wrappers and flags of the outer build do not apply to this query.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .map_err(|e| format!("cannot run cargo to find the source of libsrt: {e}. {fix}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "cargo could not fetch the source of libsrt (package {}):\n{}\nIs crates.io reachable? {fix}",
            ARCHIVE.0,
            stderr.trim()
        ));
    }
    let metadata = String::from_utf8_lossy(&output.stdout);
    let manifest = manifest_path(&metadata, ARCHIVE.0)
        .ok_or_else(|| format!("cargo metadata does not list package {}. {fix}", ARCHIVE.0))?;
    Ok(Path::new(&manifest)
        .parent()
        .unwrap_or_else(|| Path::new("/"))
        .join(ARCHIVE.1))
}

/// The `manifest_path` that ends in `<package>-<version>/Cargo.toml`. Nothing else of the JSON is needed, so no parser
/// for it is built.
fn manifest_path(metadata: &str, package: &str) -> Option<String> {
    metadata
        .split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(path, _)| path.replace("\\\\", "\\"))
        .find(|path| {
            Path::new(path)
                .parent()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str()?.strip_prefix(package)?.strip_prefix('-'))
                .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        })
}
