//! The programs that an SRT gateway must work with, as separate processes: srt-live-transmit and ffmpeg.
//!
//! [`SrtUrl`] writes an address in either program's dialect, [`live_transmit`] and [`ffmpeg`] build their command lines,
//! [`Process`] runs one with its output captured, a deadline on every wait, and its end with the test's. A missing
//! program fails the test that needs it: nothing is skipped.

pub mod ffmpeg;
pub mod live_transmit;
mod process;
mod url;

pub use process::Process;
pub use url::{KeyLength, SrtUrl};

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The paths of the programs.
#[derive(Debug)]
pub struct Peers {
    /// Sends and receives SRT from and to files and UDP.
    pub srt_live_transmit: PathBuf,
    /// Sends, receives and encodes media.
    pub ffmpeg: PathBuf,
    /// Analyzes media files.
    pub ffprobe: PathBuf,
}

/// The paths of the programs, as the build found them, or from `PATH` if they were installed since.
///
/// # Panics
/// If one is missing; the message names the package to install.
#[must_use]
pub fn require() -> &'static Peers {
    static PEERS: OnceLock<Peers> = OnceLock::new();
    PEERS.get_or_init(|| Peers {
        srt_live_transmit: find(
            "srt-live-transmit",
            "srt-tools",
            option_env!("SRT_E2E_SRT_LIVE_TRANSMIT"),
        ),
        ffmpeg: find("ffmpeg", "ffmpeg", option_env!("SRT_E2E_FFMPEG")),
        ffprobe: find("ffprobe", "ffmpeg", option_env!("SRT_E2E_FFPROBE")),
    })
}

fn find(program: &str, package: &str, built_with: Option<&str>) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).map(|folder| folder.join(program));
    built_with
        .map(PathBuf::from)
        .into_iter()
        .chain(folders)
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("{program} is missing: install it (Debian and Ubuntu: apt-get install {package}), or run `cargo xtask test`, which does")
        })
}
