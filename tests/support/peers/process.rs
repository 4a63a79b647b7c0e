//! A separate process under test: its output captured line by line, every wait with a deadline, killed when dropped.
//!
//! Owns the child and one reading thread per output pipe; both threads end when the child closes its pipes. Ends only
//! the child it started, by its process id.

use crate::wait::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many lines of output a panic message shows.
const TAIL: usize = 30;

/// The child's output, passed from the reading threads to the waits for a line.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    open_pipes: usize,
}

impl Output {
    fn state(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running (or ended) process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` without an input; its standard output and error are captured.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self::start(name, command)
    }

    /// Starts `command` with its standard output going to `file`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn_into(name: &str, mut command: Command, file: File) -> Self {
        command.stdin(Stdio::null()).stdout(file);
        Self::start(name, command)
    }

    /// Starts `command` with a pipe as its input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn_fed(name: &str, mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self::start(name, command);
        let stdin = process
            .child
            .stdin
            .take()
            .expect("its input was asked to be a pipe");
        (process, stdin)
    }

    #[track_caller]
    fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error} ({command:?})"));
        let pipes: Vec<Box<dyn Read + Send>> = [
            child
                .stdout
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        .collect();
        let output = Arc::new(Output::default());
        output.state().open_pipes = pipes.len();
        let readers = pipes
            .into_iter()
            .map(|pipe| {
                let output = Arc::clone(&output);
                thread::Builder::new()
                    .name(format!("{name} output"))
                    .spawn(move || read_lines(pipe, &output))
                    .expect("a thread that reads a pipe")
            })
            .collect();
        Self {
            name: name.to_owned(),
            child,
            output,
            readers,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far, line by line; the two outputs are interleaved as they arrived.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.state().lines.clone()
    }

    /// Waits for a line of output that `wanted` accepts, from the first line on, and returns it.
    ///
    /// # Panics
    /// If none appears within `deadline`, or the process closes its output before.
    #[track_caller]
    pub fn wait_for_line(&self, deadline: Duration, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + deadline;
        let mut state = self.output.state();
        loop {
            if let Some(line) = state.lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.open_pipes == 0 {
                let why = if left.is_zero() {
                    format!("did not say within {deadline:?}")
                } else {
                    "ended before it said".to_owned()
                };
                drop(state);
                panic!("{} {why}: {what}\n{}", self.name, self.tail());
            }
            state = self
                .output
                .grown
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        let status = wait_for(
            deadline + Duration::from_secs(1),
            &format!("{} to end", self.name),
            || {
                let status = self.try_wait();
                assert!(
                    status.is_some() || Instant::now() < end,
                    "{} does not end\n{}",
                    self.name,
                    self.tail()
                );
                status
            },
        );
        self.join_readers();
        status
    }

    /// Waits until it ends by itself with exit code 0.
    ///
    /// # Panics
    /// If it does not within `deadline`, or ends otherwise.
    #[track_caller]
    pub fn wait_success(&mut self, deadline: Duration) {
        let status = self.wait(deadline);
        assert!(
            status.success(),
            "{} ended with {status}\n{}",
            self.name,
            self.tail()
        );
    }

    /// Sends SIGTERM and waits until it has ended.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// Sends SIGINT, as Ctrl-C does, and waits until it has ended.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[track_caller]
    pub fn interrupt(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::INT);
        self.wait(deadline)
    }

    /// Sends SIGHUP: it reads its configuration again.
    pub fn hang_up(&mut self) {
        self.signal(Signal::HUP);
    }

    /// Ends it at once (SIGKILL), like a crash or a lost machine: its peers get no SHUTDOWN.
    pub fn kill(&mut self) {
        // Both fail only if the child was waited for before: then it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        self.join_readers();
    }

    /// The last lines of its output, for a panic message.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- last output of {} ---\n{}\n---", self.name, tail.join("\n"))
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child of this process can be waited for")
    }

    fn signal(&mut self, signal: Signal) {
        // An ended child that was not waited for keeps its process id, so the signal cannot hit another process.
        if self.try_wait().is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("a running child can be signalled");
        }
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            assert!(
                reader.join().is_ok() || thread::panicking(),
                "a thread that read {}'s output panicked",
                self.name
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Collects the lines of `pipe` until its end.
fn read_lines(pipe: impl Read, output: &Output) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    // A read error means that the pipe is closed, like its end.
    while matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
        output
            .state()
            .lines
            .push(String::from_utf8_lossy(&line).trim_end().to_owned());
        output.grown.notify_all();
        line.clear();
    }
    output.state().open_pipes -= 1;
    output.grown.notify_all();
}

#[cfg(test)]
mod tests {
    use super::Process;
    use std::process::Command;
    use std::time::{Duration, Instant};

    const DEADLINE: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("shell", command)
    }

    #[test]
    fn output_and_end_are_seen() {
        let mut process = shell("echo out; echo err >&2; exit 3");
        assert_eq!(
            process.wait_for_line(DEADLINE, "err", |line| line == "err"),
            "err"
        );
        assert_eq!(process.wait(DEADLINE).code(), Some(3));
        assert_eq!(process.lines().len(), 2);
        assert!(!process.is_running());
    }

    #[test]
    fn signals_end_it() {
        let script = "trap 'exit 7' TERM; trap 'exit 8' INT; echo ready; while :; do sleep 0.02; done";
        let mut process = shell(script);
        process.wait_for_line(DEADLINE, "ready", |line| line == "ready");
        assert!(process.is_running());
        assert_eq!(process.terminate(DEADLINE).code(), Some(7));
        let mut process = shell(script);
        process.wait_for_line(DEADLINE, "ready", |line| line == "ready");
        assert_eq!(process.interrupt(DEADLINE).code(), Some(8));
    }

    #[test]
    fn dropping_ends_it() {
        let start = Instant::now();
        drop(shell("exec sleep 60"));
        assert!(start.elapsed() < DEADLINE);
    }

    #[test]
    #[should_panic(expected = "the reason it failed")]
    fn panic_shows_what_it_wrote() {
        let process = shell("echo the reason it failed >&2");
        process.wait_for_line(DEADLINE, "ready", |line| line == "ready");
    }

    #[test]
    #[should_panic(expected = "ended with exit status: 1")]
    fn failure_is_no_success() {
        shell("exit 1").wait_success(DEADLINE);
    }
}
