//! Sends a stream at its bit rate, as a live source does.
//!
//! [`Feeder`] owns one thread that emits 1316-byte chunks (seven TS packets, one SRT message) on a schedule fixed at
//! its start: a late chunk does not delay later ones. The caller's closure determines where the chunks go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Seven TS packets: the content of one SRT message in live mode.
pub const CHUNK: usize = 7 * 188;

/// No feeder runs longer, whatever its stream and tail, so a test that hangs does not send forever.
const LIMIT: Duration = Duration::from_secs(300);

/// What follows after the whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the sink is dropped, which closes a pipe.
    Close,
    /// Null packets at the same rate until the feeder is stopped. They push the end of the stream through every buffer
    /// on the path (latency, a peer's 4096-byte output blocks), so that a test can wait for all of it.
    NullPackets,
    /// The stream again from its start, until the feeder is stopped.
    Repeat,
}

/// A running paced sender. Dropping it stops it.
#[derive(Debug)]
pub struct Feeder {
    started: Instant,
    sent: Arc<AtomicU64>,
    length: u64,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    /// Passes `stream` to `sink` in chunks of [`CHUNK`] bytes at `bits_per_second`.
    ///
    /// The sink is called on the feeder's thread and may block; an error from it, such as a disconnected peer, ends the
    /// feeder.
    ///
    /// # Panics
    /// If `stream` is no whole number of TS packets, or `bits_per_second` is 0.
    pub fn start<S>(stream: Arc<[u8]>, bits_per_second: u64, tail: Tail, sink: S) -> Self
    where
        S: FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    {
        assert!(
            !stream.is_empty() && stream.len().is_multiple_of(188),
            "a stream is whole TS packets"
        );
        assert!(bits_per_second > 0, "a rate of 0 never ends");
        let started = Instant::now();
        let sent = Arc::new(AtomicU64::new(0));
        let length = stream.len() as u64;
        let (stop, stopped) = mpsc::channel();
        let mut run = Run {
            stream,
            bits_per_second,
            tail,
            sink,
            started,
            sent: Arc::clone(&sent),
            stopped,
            chunks: 0,
        };
        let thread = thread::Builder::new()
            .name("feeder".to_owned())
            .spawn(move || run.all())
            .expect("a thread for the paced sender");
        Self {
            started,
            sent,
            length,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// When the first chunk was due.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Bytes passed to the sink so far, the tail included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Whether the whole stream was passed to the sink once.
    #[must_use]
    pub fn is_through(&self) -> bool {
        self.sent() >= self.length
    }

    /// Stops before the next chunk and drops the sink.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the paced sender panicked");
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the feeder's thread owns.
struct Run<S> {
    stream: Arc<[u8]>,
    bits_per_second: u64,
    tail: Tail,
    sink: S,
    started: Instant,
    sent: Arc<AtomicU64>,
    stopped: mpsc::Receiver<()>,
    chunks: u64,
}

impl<S: FnMut(&[u8]) -> io::Result<()>> Run<S> {
    fn all(&mut self) {
        let stream = Arc::clone(&self.stream);
        let mut goes_on = self.pass(&stream);
        match self.tail {
            Tail::Close => {}
            Tail::NullPackets => {
                let nulls = null_packets(7);
                while goes_on {
                    goes_on = self.pass(&nulls);
                }
            }
            Tail::Repeat => {
                while goes_on {
                    goes_on = self.pass(&stream);
                }
            }
        }
    }

    /// Sends `bytes` once; false if stopped, out of time or refused by the sink.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        bytes.chunks(CHUNK).all(|chunk| {
            let due = due(self.chunks, self.bits_per_second);
            self.chunks += 1;
            let left = (self.started + due).saturating_duration_since(Instant::now());
            let goes_on = matches!(self.stopped.recv_timeout(left), Err(RecvTimeoutError::Timeout));
            let is_taken = goes_on && due < LIMIT && (self.sink)(chunk).is_ok();
            if is_taken {
                self.sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            is_taken
        })
    }
}

/// When chunk number `chunk` is due, from the start.
fn due(chunk: u64, bits_per_second: u64) -> Duration {
    let bits = u128::from(chunk) * CHUNK as u128 * 8;
    let nanoseconds = bits * 1_000_000_000 / u128::from(bits_per_second);
    Duration::from_nanos(u64::try_from(nanoseconds).expect("a test does not send for 500 years"))
}

/// `count` null packets (PID 0x1FFF).
#[must_use]
pub fn null_packets(count: usize) -> Vec<u8> {
    let mut packet = [0xFF; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
    packet.repeat(count)
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Feeder, Tail, null_packets};
    use crate::wait::wait_until;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    type Sunk = Arc<Mutex<Vec<u8>>>;

    fn collect(tail: Tail, chunks: usize, rate: u64) -> (Feeder, Sunk, Arc<[u8]>) {
        let stream: Arc<[u8]> = (0..=250).cycle().take(chunks * CHUNK).collect();
        let sunk = Sunk::default();
        let sink = {
            let sunk = Arc::clone(&sunk);
            move |chunk: &[u8]| {
                sunk.lock().unwrap().extend_from_slice(chunk);
                Ok(())
            }
        };
        (Feeder::start(Arc::clone(&stream), rate, tail, sink), sunk, stream)
    }

    #[test]
    fn stream_takes_its_time_and_arrives_whole() {
        // 20 chunks at one per 10 ms: the last is due 190 ms after the first.
        let start = Instant::now();
        let (feeder, sunk, stream) = collect(Tail::Close, 20, CHUNK as u64 * 8 * 100);
        wait_until(Duration::from_secs(5), "the whole stream", || feeder.is_through());
        assert!(
            start.elapsed() >= Duration::from_millis(190),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(*sunk.lock().unwrap(), *stream);
    }

    #[test]
    fn null_packets_follow_until_stopped() {
        let (feeder, sunk, stream) = collect(Tail::NullPackets, 2, 1_000_000_000);
        wait_until(Duration::from_secs(5), "ten chunks", || {
            feeder.sent() >= 10 * CHUNK as u64
        });
        feeder.stop();
        let sunk = sunk.lock().unwrap();
        let tail = sunk.strip_prefix(&*stream).expect("the stream comes first");
        assert_eq!(tail, null_packets(tail.len() / 188));
    }

    #[test]
    fn stream_repeats_until_stopped() {
        let (feeder, sunk, stream) = collect(Tail::Repeat, 2, 1_000_000_000);
        wait_until(Duration::from_secs(5), "two rounds", || {
            feeder.sent() >= 2 * stream.len() as u64
        });
        feeder.stop();
        assert_eq!(sunk.lock().unwrap()[..2 * stream.len()], *stream.repeat(2));
    }

    #[test]
    fn sink_that_fails_ends_the_feeder() {
        let stream: Arc<[u8]> = vec![0; 3 * CHUNK].into();
        let mut calls = 0;
        let feeder = Feeder::start(stream, 1_000_000_000, Tail::Repeat, move |_| {
            calls += 1;
            if calls < 3 {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        });
        wait_until(Duration::from_secs(5), "the thread to end", || {
            feeder.thread.as_ref().is_some_and(|thread| thread.is_finished())
        });
        assert_eq!(feeder.sent(), 2 * CHUNK as u64);
    }
}
