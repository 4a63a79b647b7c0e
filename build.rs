//! Tells the tests where the peers they talk to are, without touching the network.
//!
//! Runs at build time only. It does not fail when a peer is missing: the test that needs the peer does, and says what
//! to install (`srt_e2e::peers`). It does not build the gateway either: cargo gives a binary's path only to the tests
//! of the binary's own package, so `cargo xtask test` builds it first and `srt_e2e::gateway` finds it beside the test.

use std::env;
use std::path::{Path, PathBuf};

/// The programs looked for, each with the variable that carries its path to `option_env!`.
const PEERS: [(&str, &str); 3] = [
    ("srt-live-transmit", "SRT_E2E_SRT_LIVE_TRANSMIT"),
    ("ffmpeg", "SRT_E2E_FFMPEG"),
    ("ffprobe", "SRT_E2E_FFPROBE"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    for (program, variable) in PEERS {
        match find_in_path(program) {
            Some(path) => {
                println!("cargo::rustc-env={variable}={}", path.display());
                println!("cargo::rerun-if-changed={}", path.display());
            }
            // Cargo runs this script again as long as the file named here does not exist: a peer installed later is
            // picked up by the next build.
            None => println!("cargo::rerun-if-changed={}", out_dir().join(program).display()),
        }
    }
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn out_dir() -> PathBuf {
    Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts")).to_path_buf()
}
