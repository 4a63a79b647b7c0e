//! srt-live-transmit, the sample application of libsrt: as a publisher fed at a bit rate, as a player into a file, and
//! as a bridge between any two addresses.

use super::{Process, SrtUrl, require};
use crate::pace::{CHUNK, Feeder, Tail};
use crate::wait::wait_until;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::Arc;
use std::time::Duration;

/// Its name for the standard input or output; it refuses paths of files.
const CONSOLE: &str = "file://con";

fn command(from: &str, to: &str) -> Command {
    let mut command = Command::new(&require().srt_live_transmit);
    // Its default chunk of 1456 bytes splits TS packets, and with FEC pads them.
    command.arg(format!("-chunk:{CHUNK}")).arg("-v").args([from, to]);
    command
}

/// Relays from one address to another, each given as on its command line.
#[must_use]
#[track_caller]
pub fn bridge(from: &str, to: &str) -> Process {
    Process::spawn("srt-live-transmit", command(from, to))
}

/// A publisher that has not sent yet; it may be connecting, or listening.
#[derive(Debug)]
pub struct Idle {
    process: Process,
    stdin: ChildStdin,
}

/// Starts to connect to `url` (or to listen there) for sending.
#[must_use]
#[track_caller]
pub fn publisher(url: &SrtUrl) -> Idle {
    let (process, stdin) = Process::spawn_fed(
        "srt-live-transmit (publisher)",
        command(CONSOLE, &url.for_live_transmit()),
    );
    Idle { process, stdin }
}

impl Idle {
    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it is connected. It discards data that it is fed before.
    ///
    /// # Panics
    /// If it is not within `deadline`.
    #[track_caller]
    pub fn wait_connected(&self, deadline: Duration) {
        self.process.wait_for_line(deadline, "connected", |line| {
            line == "SRT target connected" || line == "Accepted SRT target connection"
        });
    }

    /// Waits like [`Idle::wait_connected`], then feeds it `stream` at `bits_per_second`.
    ///
    /// # Panics
    /// If it is not connected within `deadline`.
    #[must_use]
    #[track_caller]
    pub fn feed(self, stream: Arc<[u8]>, bits_per_second: u64, tail: Tail, deadline: Duration) -> Publisher {
        self.wait_connected(deadline);
        let mut stdin = self.stdin;
        let feeder = Feeder::start(stream, bits_per_second, tail, move |chunk| stdin.write_all(chunk));
        Publisher {
            process: self.process,
            feeder,
        }
    }
}

/// A publisher that sends.
#[derive(Debug)]
pub struct Publisher {
    // Dropped first: a feeder that is blocked on the process's pipe gets an error then.
    process: Process,
    feeder: Feeder,
}

impl Publisher {
    /// The process; kill it to lose the publisher without a SHUTDOWN.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The feeder of its data.
    #[must_use]
    pub fn feeder(&self) -> &Feeder {
        &self.feeder
    }

    /// Waits until the whole stream was fed once.
    ///
    /// # Panics
    /// If it was not within `deadline`.
    #[track_caller]
    pub fn wait_through(&self, deadline: Duration) {
        wait_until(deadline, "the whole stream to be sent", || {
            self.feeder.is_through()
        });
    }
}

/// A player that writes what it receives into a file.
#[derive(Debug)]
pub struct Player {
    process: Process,
    path: PathBuf,
}

/// Starts to receive from `url` into the file `path`.
///
/// # Panics
/// If the file cannot be created.
#[must_use]
#[track_caller]
pub fn player(url: &SrtUrl, path: &Path) -> Player {
    let file = File::create(path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
    let command = command(&url.for_live_transmit(), CONSOLE);
    Player {
        process: Process::spawn_into("srt-live-transmit (player)", command, file),
        path: path.to_owned(),
    }
}

impl Player {
    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it is connected.
    ///
    /// # Panics
    /// If it is not within `deadline`.
    #[track_caller]
    pub fn wait_connected(&self, deadline: Duration) {
        self.process.wait_for_line(deadline, "connected", |line| {
            line == "SRT source connected" || line == "Accepted SRT source connection"
        });
    }

    /// Waits until the file holds at least `length` bytes. The file grows by blocks of 4096 bytes: the last bytes of a
    /// stream are written only when more data follows (see [`Tail::NullPackets`]).
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[track_caller]
    pub fn wait_received(&self, length: usize, deadline: Duration) {
        let size = || fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        wait_until(
            deadline,
            &format!("{length} bytes in the player's file, {}", self.process.tail()),
            || size() >= length as u64,
        );
    }

    /// Ends the player and returns the content of the file.
    #[must_use]
    #[track_caller]
    pub fn received(mut self) -> Vec<u8> {
        self.process.kill();
        fs::read(&self.path).unwrap_or_else(|error| panic!("cannot read {}: {error}", self.path.display()))
    }
}
