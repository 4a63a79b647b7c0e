//! Writes the log to standard error: a bounded queue, and a thread that alone waits for the reader.
//!
//! A pipe that nobody reads costs lines, never time: lines that do not fit the queue are dropped and counted, and the
//! log states how many are missing at that point. Nothing else in a serving gateway writes to standard error.
//! (tracing-appender has such a queue too, but cannot report dropped lines in the log, and prints to standard output if
//! the queue is full at the end.)

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::config::LogFormat;

/// The limit of queued lines.
const LINES: usize = 4096;

/// How soon dropped lines are reported if no other line follows.
const QUIET: Duration = Duration::from_millis(500);

/// How often [`flush`] polls, and a descriptor that accepts nothing is retried.
const POLL: Duration = Duration::from_millis(2);

/// The log of this process.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// Queues lines, and never blocks.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter {
    lines: Sender<Line>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Line {
    /// The number of lines dropped before this one.
    missing: u64,
    bytes: Box<[u8]>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Lines dropped since the last queued one.
    missing: AtomicU64,
    taken: AtomicU64,
    done: AtomicU64,
}

impl LogWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (lines, queue) = crossbeam_channel::bounded(LINES);
        let counts = Arc::new(Counts::default());
        let writer = Self {
            lines,
            counts: Arc::clone(&counts),
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || run(out, format, &queue, &counts))?;
        Ok(writer)
    }

    /// Makes this the log that [`flush`] waits for.
    pub(crate) fn install(&self) {
        LOG.set(self.clone()).unwrap_or_default();
    }

    /// Waits until everything queued so far is written, at most this long; returns whether it is.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let (end, taken) = (Instant::now() + limit, self.counts.taken.load(Relaxed));
        while self.counts.done.load(Relaxed) < taken {
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// Waits until the log is written, at most this long.
pub(crate) fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.flush(limit);
    }
}

/// One line per call, as `tracing_subscriber` writes them.
impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let counts = &self.counts;
        let missing = counts.missing.swap(0, Relaxed);
        // Before it is sent, so that `flush` never finds more lines written than queued.
        counts.taken.fetch_add(1, Relaxed);
        let line = Line {
            missing,
            bytes: bytes.into(),
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(line) {
            counts.taken.fetch_sub(1, Relaxed);
            counts.missing.fetch_add(missing + 1, Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(mut out: impl Write, format: LogFormat, lines: &Receiver<Line>, counts: &Counts) {
    loop {
        match lines.recv_timeout(QUIET) {
            Ok(line) => {
                report_dropped(&mut out, format, line.missing);
                write_all(&mut out, &line.bytes);
                counts.done.fetch_add(1, Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {
                report_dropped(&mut out, format, counts.missing.swap(0, Relaxed));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn report_dropped(out: &mut impl Write, format: LogFormat, missing: u64) {
    if missing == 0 {
        return;
    }
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    let text = format!("{missing} lines are missing here, because nothing read standard error");
    let line = match format {
        LogFormat::Text => format!("{time}  WARN {text}\n"),
        LogFormat::Json => format!(
            "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{text}\",\"lines\":{missing},\"target\":\"srt_gateway::log_writer\"}}\n"
        ),
    };
    write_all(out, line.as_bytes());
}

/// Like the method of [`Write`], also for a non-blocking descriptor. A line that cannot be written has nowhere else to
/// go.
fn write_all(out: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return,
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(_) => return,
        }
    }
    out.flush().unwrap_or_default();
}

/// Writes `text` to `out`, which may be a pipe that nobody reads: waits at most this long, and then abandons the
/// thread.
pub(crate) fn write_within(limit: Duration, mut out: impl Write + Send + 'static, text: String) {
    let (done, written) = crossbeam_channel::bounded::<()>(0);
    let thread = thread::Builder::new().name("print".to_owned()).spawn(move || {
        write_all(&mut out, text.as_bytes());
        drop(done);
    });
    if thread.is_ok() {
        // Also ends with the thread.
        written.recv_timeout(limit).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Accepts nothing until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_told_of_where_it_is_missing() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let gate = Gate::default();
            let closed = gate.0.lock().unwrap();
            let mut log = LogWriter::start(gate.clone(), format).unwrap();
            let more = 100;
            for number in 0..LINES + 1 + more {
                log.write_all(format!("line {number}\n").as_bytes()).unwrap();
                if number == 0 {
                    // The thread has taken it.
                    while !log.lines.is_empty() {
                        thread::yield_now();
                    }
                }
            }
            assert!(!log.flush(Duration::from_millis(10)), "nobody reads");
            drop(closed);
            assert!(log.flush(Duration::from_secs(20)));
            log.write_all(b"the last\n").unwrap();
            assert!(log.flush(Duration::from_secs(20)));
            let text = String::from_utf8(gate.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), LINES + 3);
            assert_eq!(lines[LINES], format!("line {LINES}"));
            assert!(
                lines[LINES + 1].contains("100 lines are missing"),
                "{}",
                lines[LINES + 1]
            );
            if format == LogFormat::Json {
                let told: serde_json::Value = serde_json::from_str(lines[LINES + 1]).unwrap();
                assert_eq!(
                    (told["lines"].as_u64(), told["level"].as_str()),
                    (Some(100), Some("WARN"))
                );
            }
            assert_eq!(lines[LINES + 2], "the last");
        }
    }

    #[test]
    fn a_text_that_nobody_reads_is_given_up() {
        let gate = Gate::default();
        let closed = gate.0.lock().unwrap();
        let begun = Instant::now();
        write_within(Duration::from_millis(50), gate.clone(), "text".to_owned());
        assert!(begun.elapsed() >= Duration::from_millis(50));
        drop(closed);
    }
}
