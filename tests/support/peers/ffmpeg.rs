//! ffmpeg and ffprobe: as a publisher and a player, and to check received media.

use super::{Process, SrtUrl, require};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn command() -> Command {
    let mut command = Command::new(&require().ffmpeg);
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "info", "-y"]);
    command
}

/// Sends the file `input` to `url` in real time, in a loop, all its streams unchanged, until it is ended.
///
/// In a loop because ffmpeg closes its socket at the end of its input, and SRT then drops the data that the other side
/// has not played yet.
#[must_use]
#[track_caller]
pub fn publisher(url: &SrtUrl, input: &Path) -> Process {
    let mut command = command();
    command.args(["-re", "-stream_loop", "-1", "-i"]).arg(input);
    command.args(["-map", "0", "-c", "copy", "-f", "mpegts", &url.for_ffmpeg()]);
    Process::spawn("ffmpeg (publisher)", command)
}

/// Receives `length` of media from `url` into the file `output`, all streams unchanged, and ends.
#[must_use]
#[track_caller]
pub fn player(url: &SrtUrl, output: &Path, length: Duration) -> Process {
    let mut command = command();
    // Without these two options it analyzes five seconds of the stream before it starts.
    command.args([
        "-analyzeduration",
        "300000",
        "-probesize",
        "400000",
        "-i",
        &url.for_ffmpeg(),
    ]);
    command
        .args([
            "-map",
            "0",
            "-c",
            "copy",
            "-t",
            &format!("{:.3}", length.as_secs_f64()),
            "-f",
            "mpegts",
        ])
        .arg(output);
    Process::spawn("ffmpeg (player)", command)
}

/// Decodes all of `file` and returns ffmpeg's error messages: an empty string if there are none.
///
/// # Panics
/// If ffmpeg cannot be run.
#[must_use]
pub fn decode_faults(file: &Path) -> String {
    let mut command = Command::new(&require().ffmpeg);
    command
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0", "-f", "null", "-"]);
    let output = command.output().expect("ffmpeg starts: peers::require found it");
    let mut faults = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        faults.push_str(&format!("ffmpeg ended with {}", output.status));
    }
    faults
}

/// The number of packets of each kind in a file, as ffprobe counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Video frames.
    pub video: u64,
    /// Audio frames.
    pub audio: u64,
}

/// Counts the packets of `file`.
///
/// # Panics
/// If ffprobe cannot read it.
#[must_use]
#[track_caller]
pub fn packet_counts(file: &Path) -> PacketCounts {
    let mut command = Command::new(&require().ffprobe);
    command.args([
        "-v",
        "error",
        "-count_packets",
        "-show_entries",
        "stream=codec_type,nb_read_packets",
    ]);
    let output = command
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe starts: peers::require found it");
    assert!(
        output.status.success(),
        "ffprobe {}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let listed = String::from_utf8_lossy(&output.stdout);
    // ffprobe lists a transport stream's streams twice, as the program's and as the file's.
    let count = |kind: &str| {
        let fields = listed.lines().map(|line| line.split(',').collect::<Vec<_>>());
        fields
            .filter(|fields| fields.first() == Some(&kind))
            .find_map(|fields| fields.get(1)?.parse().ok())
            .unwrap_or(0)
    };
    PacketCounts {
        video: count("video"),
        audio: count("audio"),
    }
}
