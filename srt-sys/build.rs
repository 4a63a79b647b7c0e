//! Chooses the libsrt to link (pinned source, `LIBSRT_SOURCE_DIR`, or an installed one), and calls the module for it.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/edits.rs"]
mod edits;
#[path = "build/source.rs"]
mod source;
#[path = "build/system.rs"]
mod system;
#[path = "build/vendored.rs"]
mod vendored;

use std::path::PathBuf;

/// An error of the build: one message that describes the remedy, never a backtrace.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The library that the crate will link.
pub(crate) struct Library {
    pub(crate) version: String,
    /// The folders of `srt.h` and its companions.
    pub(crate) include: Vec<PathBuf>,
    /// Compile-time switches that change the declarations of the headers.
    pub(crate) header_defines: &'static [&'static str],
    pub(crate) edits: Vec<&'static str>,
    pub(crate) crypto: String,
}

fn main() {
    if let Err(message) = run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let library = if std::env::var_os("CARGO_FEATURE_SYSTEM").is_some() {
        system::link()?
    } else {
        vendored::build()?
    };
    bindings::provide(&library)?;

    // The edits that add a function: without them there is no such symbol to link.
    for (edit, cfg) in [
        ("filter-cap", "filter_cap"),
        ("handshake-view", "handshake_view"),
        ("collected-sends", "collected_sends"),
        ("sparing", "sparing"),
        ("epoll-wakeups", "epoll_wakeups"),
        ("reader-timed", "reader_timed"),
        ("proven-address", "proven_address"),
        ("thread-progress", "thread_progress"),
        ("resend-cap", "resend_cap"),
        ("peer-state", "peer_state"),
    ] {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        if library.edits.contains(&edit) {
            println!("cargo::rustc-cfg={cfg}");
        }
    }

    // For build scripts of direct dependents (DEP_SRT_*), and for this crate's own constants.
    for (key, value) in [
        ("version", library.version.as_str()),
        ("edits", &library.edits.join(",")),
        ("crypto", &library.crypto),
    ] {
        println!("cargo::metadata={key}={value}");
        println!("cargo::rustc-env=LIBSRT_BUILT_{}={value}", key.to_uppercase());
    }
    Ok(())
}

/// `OUT_DIR` of this build.
pub(crate) fn out_dir() -> PathBuf {
    PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"))
}
