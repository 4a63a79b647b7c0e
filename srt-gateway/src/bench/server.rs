//! The server under load: its process, and its resource use from /proc. Linux only.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Result, plan::Server};

/// How long a server that was asked to end may take.
const END_TIMEOUT: Duration = Duration::from_secs(4);

/// The resource use of a process since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) rss_kib: u64,
    pub(super) threads: u64,
    pub(super) switches: u64,
}

impl Usage {
    /// For a process. Its context switches are those of its current threads.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(|error| format!("/proc/{pid}/task: {error}"))?
            .flatten();
        let switches = tasks
            // Threads that have ended in the meantime are skipped.
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .map(|status| {
                field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:")
            })
            .sum();
        let status = read("status")?;
        Ok(Self {
            cpu: cpu(&read("stat")?).ok_or_else(|| format!("/proc/{pid}/stat: not understood"))?,
            rss_kib: field(&status, "VmRSS:"),
            threads: field(&status, "Threads:"),
            switches,
        })
    }

    /// For this process.
    pub(super) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}

/// utime and stime: the 14th and 15th field. The second field, the name, may contain anything, but ends with the last
/// bracket.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_nanos(
        (user + system).saturating_mul(1_000_000_000 / ticks),
    ))
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// A server started for a measurement; dropping it ends the server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    config: PathBuf,
}

impl Process {
    /// Starts `server` to listen on `addr`, which may take a moment.
    pub(super) fn start(server: &Server, addr: SocketAddr, passphrase: Option<&str>) -> Result<Self> {
        let config = std::env::temp_dir().join(format!(
            "srt-gateway-bench-{}-{}",
            std::process::id(),
            addr.port()
        ));
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let fill = |text: &str| {
            text.replace("{address}", &addr.to_string())
                .replace("{port}", &addr.port().to_string())
                .replace("{config}", &config.to_string_lossy())
                .replace("{passphrase}", passphrase.unwrap_or_default())
                .replace("{self}", &own.to_string_lossy())
        };
        let when_encrypted = |text| if passphrase.is_some() { text } else { "" };
        let text = format!("{}\n{}", server.config, when_encrypted(&server.encrypted_config));
        fs::write(&config, fill(&text)).map_err(|error| format!("{}: {error}", config.display()))?;
        let more = match passphrase {
            Some(_) => &server.encrypted_command[..],
            None => &[],
        };
        let mut command = server.command.iter().chain(more).map(|part| fill(part));
        let program = command.next().unwrap_or_default();
        let child = Command::new(&program)
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: cannot start {program}: {error}", server.name))?;
        Ok(Self { child, config })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still running.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let end = Instant::now() + END_TIMEOUT;
        while asked && self.is_running() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Kills it, unless it has ended by then.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.config));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_behind_a_name_with_brackets() {
        let stat = "7 (a) (b c) S 1 1 1 0 -1 0 1 2 3 4 150 50 0 0 20 0 3 0 9 9 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 a"), None);
    }

    #[test]
    fn own_usage_has_a_thread_and_memory() {
        let usage = Usage::own().unwrap();
        assert!(usage.threads >= 1 && usage.rss_kib > 100, "{usage:?}");
    }
}
