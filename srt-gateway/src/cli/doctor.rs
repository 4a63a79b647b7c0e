//! `doctor`: checks whether this machine suits the gateway's configuration. Each finding includes advice.
//!
//! Read-only: sockets that it binds are closed at once, and it changes no settings. It cannot measure the network.

use std::{
    collections::HashSet,
    fmt, fs, io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use super::{ConfigFile, load, say, status::say_json};
use crate::{
    config::{Config, ListenAddr, OptionValue, SrtSettings},
    interface_check::interface_warnings,
    local::{self, Answer, Client, Request, Status},
};

/// The kernel buffer that libsrt requests for a port by default (socketconfig.h).
const UDP_RECEIVE_BUFFER: u64 = 12_288_000;
const UDP_SEND_BUFFER: u64 = 65_536;

/// The first release without the vulnerabilities that `strict` refuses.
const FIRST_SAFE_VERSION: srt_safe::SrtVersion = srt_safe::SrtVersion::new(1, 5, 6);

/// Descriptors for everything but ports: log, timers, API, files, hooks.
const DESCRIPTORS: u64 = 1024;

/// 2025-01-01: an earlier clock was never set.
const CLOCK_FLOOR: Duration = Duration::from_secs(1_735_689_600);

/// How long the two clocks are compared, and how far they may differ.
const CLOCK_LOOK: Duration = Duration::from_millis(100);
const CLOCK_DRIFT: Duration = Duration::from_millis(5);

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    of: ConfigFile,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    #[serde(rename = "check")]
    what: &'static str,
    text: String,
}

impl Finding {
    fn new(level: Level, what: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { level, what, text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        write!(f, "{level:<5} {:<12} {}", self.what, self.text)
    }
}

/// The report as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Nothing failed.
    fit: bool,
    findings: &'a [Finding],
}

pub(super) fn doctor(args: &DoctorArgs) -> ExitCode {
    let config = match load(args.of.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut findings = vec![
        library(&config),
        kernel_buffer(&config, &RECEIVE),
        kernel_buffer(&config, &SEND),
        descriptors(&config),
        processors(&config),
        clock(),
        clock_source(),
        ipv6(),
    ];
    let warnings = config.warnings().into_iter().chain(interface_warnings(&config));
    findings.extend(warnings.map(|warning| Finding::new(Level::Warn, "config", warning)));
    let running = running(&config);
    let own = OwnPorts::of(running.as_ref());
    findings.extend(ports(&config, &own));
    findings.extend(api_ports(&config, &own));
    findings.extend(running.as_ref().map(run_state));
    let fit = findings.iter().all(|finding| finding.level != Level::Fail);
    if args.json {
        say_json(&Report {
            fit,
            findings: &findings,
        });
    } else {
        for finding in &findings {
            say(format_args!("{finding}"));
        }
    }
    if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the running gateway with this configuration answers: None if none runs, or this user may not query it.
fn running(config: &Config) -> Option<Result<Box<Status>, ()>> {
    let mut client = Client::connect(&local::find(config.gateway.control_socket.as_deref())).ok()?;
    Some(match client.ask(&Request::Status) {
        Ok(Answer::Status(status)) => Ok(Box::new(status)),
        _ => Err(()),
    })
}

fn run_state(running: &Result<Box<Status>, ()>) -> Finding {
    match running {
        Ok(status) if status.stuck_threads.is_empty() => Finding::new(
            Level::Ok,
            "running",
            "a gateway is running, and all its threads make progress",
        ),
        Ok(status) => Finding::new(
            Level::Fail,
            "running",
            format!(
                "a gateway is running, but threads are stuck: {}; restart it, and report this with its log",
                status.stuck_threads.join("; ")
            ),
        ),
        Err(()) => Finding::new(
            Level::Warn,
            "running",
            "a gateway is running, but does not answer on its control socket",
        ),
    }
}

/// The ports of the running gateway, which are in use for a good reason.
#[derive(Debug, Default)]
struct OwnPorts {
    srt: HashSet<u16>,
    /// A gateway with a configured API does not start without the API's port.
    api: bool,
}

impl OwnPorts {
    fn of(running: Option<&Result<Box<Status>, ()>>) -> Self {
        let Some(Ok(status)) = running else {
            return Self::default();
        };
        let port = |port: &local::Port| Some(port.address.parse::<SocketAddr>().ok()?.port());
        Self {
            srt: status.ports.iter().filter_map(port).collect(),
            api: true,
        }
    }
}

/// Whether an address is in use by the running gateway.
fn is_own(bound: &io::Result<()>, own: bool) -> bool {
    own && bound
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn library(config: &Config) -> Finding {
    let version = srt_safe::library_version();
    let edits = match srt_safe::library_edits() {
        "" => "none",
        edits => edits,
    };
    let text = format!(
        "{version}, edits: {edits}, crypto: {}",
        srt_safe::library_crypto()
    );
    if version >= FIRST_SAFE_VERSION {
        return Finding::new(Level::Ok, "libsrt", text);
    }
    let holes = format!(
        "{text}; known vulnerabilities (CVE-2026-55868, CVE-2026-55869, fixed in {FIRST_SAFE_VERSION}): link a newer libsrt"
    );
    // With strict = true the gateway does not start with it.
    let level = if config.gateway.strict {
        Level::Fail
    } else {
        Level::Warn
    };
    Finding::new(level, "libsrt", holes)
}

/// A kernel buffer per UDP socket.
struct KernelBuffer {
    setting: &'static str,
    path: &'static str,
    option: &'static str,
    standard: u64,
}

const RECEIVE: KernelBuffer = KernelBuffer {
    setting: "rmem_max",
    path: "/proc/sys/net/core/rmem_max",
    option: "udp_rcvbuf",
    standard: UDP_RECEIVE_BUFFER,
};
const SEND: KernelBuffer = KernelBuffer {
    setting: "wmem_max",
    path: "/proc/sys/net/core/wmem_max",
    option: "udp_sndbuf",
    standard: UDP_SEND_BUFFER,
};

fn kernel_buffer(config: &Config, buffer: &KernelBuffer) -> Finding {
    let wanted = |settings: &SrtSettings| match settings.options.get(buffer.option).map(|o| &o.value) {
        Some(OptionValue::Int(bytes)) => u64::try_from(*bytes).unwrap_or(buffer.standard),
        _ => buffer.standard,
    };
    let ports = config.srt_ports().map(|(_, port)| wanted(&port.settings));
    let wanted = ports.max().unwrap_or(buffer.standard);
    let read = fs::read_to_string(buffer.path)
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match read {
        None => Finding::new(
            Level::Warn,
            buffer.setting,
            format!("cannot read {}: check that /proc is mounted", buffer.path),
        ),
        Some(max) if max >= wanted => Finding::new(
            Level::Ok,
            buffer.setting,
            format!("{max} bytes, the ports need {wanted}"),
        ),
        Some(max) => Finding::new(
            Level::Warn,
            buffer.setting,
            format!(
                "{max} bytes, but the ports need {wanted} ({}): bursts may be lost. As root: sysctl -w net.core.{}={wanted}",
                buffer.option, buffer.setting
            ),
        ),
    }
}

fn descriptors(config: &Config) -> Finding {
    let ports: usize = config
        .srt_ports()
        .map(|(_, port)| if port.listen.ip().is_none() { 2 } else { 1 })
        .sum();
    let wanted = DESCRIPTORS + 2 * ports as u64;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < wanted => Finding::new(
            Level::Warn,
            "descriptors",
            format!(
                "{limit}, but {wanted} are needed: set LimitNOFILE={wanted} in the service, or ulimit -n {wanted}"
            ),
        ),
        Some(limit) => Finding::new(Level::Ok, "descriptors", format!("{limit}, needed: {wanted}")),
        None => Finding::new(Level::Ok, "descriptors", "no limit"),
    }
}

fn processors(config: &Config) -> Finding {
    let workers = config.gateway.workers.map(usize::from);
    match (thread::available_parallelism().map(usize::from), workers) {
        (Err(error), _) => Finding::new(
            Level::Warn,
            "processors",
            format!("cannot count the processors ({error}): set workers in [gateway]"),
        ),
        (Ok(count), Some(workers)) if workers > count => Finding::new(
            Level::Warn,
            "processors",
            format!("{count}, but workers = {workers}: set at most one worker per processor"),
        ),
        (Ok(count), workers) => Finding::new(
            Level::Ok,
            "processors",
            format!("{count}, workers: {}", workers.unwrap_or(count)),
        ),
    }
}

/// Checks that the wall clock was set and runs at the rate of the monotonic one: logs, tokens and segment names depend
/// on it.
fn clock() -> Finding {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    thread::sleep(CLOCK_LOOK);
    let since = wall.elapsed().ok();
    let drift = since.map(|since| since.abs_diff(steady.elapsed()));
    match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(now) if now >= CLOCK_FLOOR => {}
        _ => {
            return Finding::new(
                Level::Fail,
                "clock",
                "the clock was never set: start a time service (chrony, systemd-timesyncd)",
            );
        }
    }
    match drift {
        Some(drift) if drift <= CLOCK_DRIFT => Finding::new(Level::Ok, "clock", "set, and runs steadily"),
        Some(drift) => Finding::new(
            Level::Warn,
            "clock",
            format!(
                "the wall clock drifted by {drift:?} within {CLOCK_LOOK:?}: check whether something sets it, or \
                 the machine is overloaded"
            ),
        ),
        None => Finding::new(
            Level::Warn,
            "clock",
            "the wall clock was just set back: check what sets it",
        ),
    }
}

/// libsrt reads the clock for each packet, so a clock source that requires a system call is expensive.
fn clock_source() -> Finding {
    const PATH: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(PATH).unwrap_or_default();
    match source.trim() {
        "" => Finding::new(
            Level::Ok,
            "clock source",
            "unknown: this system does not report it",
        ),
        source @ ("hpet" | "acpi_pm" | "jiffies" | "xen") => Finding::new(
            Level::Warn,
            "clock source",
            format!(
                "{source} is slow to read, and SRT reads it for each packet: use tsc or kvm-clock (kernel parameter clocksource=)"
            ),
        ),
        source => Finding::new(Level::Ok, "clock source", source),
    }
}

fn ipv6() -> Finding {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Finding::new(Level::Ok, "ipv6", "available"),
        Err(error) => Finding::new(
            Level::Warn,
            "ipv6",
            format!("not available ({error}): ports of all addresses serve IPv4 only"),
        ),
    }
}

fn ports(config: &Config, own: &OwnPorts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (owner, port) in config.srt_ports() {
        let of = format!("({} of {})", port.kind.key(), crate::control::scope(owner));
        for (addr, bound) in try_all(port.listen, Type::DGRAM) {
            let own = own.srt.contains(&port.listen.port());
            findings.push(match bound {
                bound if is_own(&bound, own) => Finding::new(
                    Level::Ok,
                    "port",
                    format!("{addr} {of} is in use by the running gateway"),
                ),
                Ok(()) => Finding::new(Level::Ok, "port", format!("{addr} {of} is free")),
                Err(error) => {
                    let advice = port_advice(&error, Type::DGRAM);
                    Finding::new(Level::Fail, "port", format!("{addr} {of} {advice}"))
                }
            });
        }
    }
    findings
}

/// Tries to bind each address of a port. On a host without IPv6, it leaves IPv6 out, like the gateway.
fn try_all(listen: ListenAddr, of: Type) -> Vec<(String, io::Result<()>)> {
    let addrs = match listen.socket_addrs() {
        Ok(addrs) => addrs,
        Err(error) => return vec![(listen.to_string(), Err(error))],
    };
    let has_none = |addr: &SocketAddr, bound: &io::Result<()>| {
        let error = bound.as_ref().err().and_then(io::Error::raw_os_error);
        listen.ip().is_none() && addr.is_ipv6() && matches!(error, Some(97 | 99))
    };
    let tried = addrs.into_iter().map(|addr| (addr, bind(addr, of)));
    tried
        .filter(|(addr, bound)| !has_none(addr, bound))
        .map(|(addr, bound)| (addr.to_string(), bound))
        .collect()
}

/// The HTTP API's port. Without `[api]`, the gateway starts even if another program has the default port.
fn api_ports(config: &Config, own: &OwnPorts) -> Vec<Finding> {
    let Some(listen) = config.api.listen else {
        return Vec::new();
    };
    let level = if config.api.configured {
        Level::Fail
    } else {
        Level::Warn
    };
    let mut findings = Vec::new();
    for (addr, bound) in try_all(listen, Type::STREAM) {
        match bound {
            bound if is_own(&bound, own.api) => findings.push(Finding::new(
                Level::Ok,
                "api",
                format!("{addr} (TCP) is in use by the running gateway"),
            )),
            Ok(()) => findings.push(Finding::new(Level::Ok, "api", format!("{addr} (TCP) is free"))),
            Err(error) => {
                let advice = port_advice(&error, Type::STREAM);
                findings.push(Finding::new(level, "api", format!("{addr} (TCP) {advice}")));
            }
        }
    }
    findings
}

fn port_advice(error: &io::Error, of: Type) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let letter = if of == Type::STREAM { 't' } else { 'u' };
            format!("is in use by a running gateway or another program (ss -{letter}lpn shows which)")
        }
        io::ErrorKind::PermissionDenied => {
            "needs privileges: choose a port of 1024 or above, or give the gateway CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "is not an address of this machine: correct it, or bring up its interface".to_owned()
        }
        _ => format!("cannot be bound: {error}"),
    }
}

/// Binds like the gateway, and closes the socket.
fn bind(addr: SocketAddr, of: Type) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), of, None)?;
    if of == Type::STREAM {
        // Recently closed connections must not make it fail; with this option, only listening detects another listener.
        socket.set_reuse_address(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    if of == Type::STREAM {
        socket.listen(1)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn port_in_use_is_a_failure_and_a_free_one_is_not() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let config = config(&format!("[srt]\nport = \"{addr}\""));
        let found = ports(&config, &OwnPorts::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Fail, "{found:?}");
        assert!(found[0].text.contains("is in use"), "{found:?}");
        let own = OwnPorts {
            srt: HashSet::from([addr.port()]),
            api: true,
        };
        let found = ports(&config, &own);
        assert_eq!(found[0].level, Level::Ok, "{found:?}");
        assert!(found[0].text.contains("by the running gateway"), "{found:?}");
        drop(taken);
        assert_eq!(ports(&config, &OwnPorts::default())[0].level, Level::Ok);
    }

    #[test]
    fn the_api_must_have_a_port_that_is_configured_only() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let mut config = config(&format!("[api]\nlisten = \"{addr}\""));
        let found = api_ports(&config, &OwnPorts::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Fail);
        assert!(found[0].text.contains("is in use"), "{found:?}");
        assert!(found[0].text.contains("ss -tlpn"), "{found:?}");
        config.api.configured = false;
        assert_eq!(api_ports(&config, &OwnPorts::default())[0].level, Level::Warn);
        drop(taken);
        assert_eq!(api_ports(&config, &OwnPorts::default())[0].level, Level::Ok);
        config.api.listen = None;
        assert!(api_ports(&config, &OwnPorts::default()).is_empty());
    }

    #[test]
    fn buffer_that_the_ports_want_is_that_of_their_options() {
        let want = |bytes: u64| {
            let config = config(&format!(
                "[srt]\nport = 9000\noptions = {{ udp_rcvbuf = {bytes} }}"
            ));
            kernel_buffer(&config, &RECEIVE)
        };
        assert_eq!(want(1).level, Level::Ok);
        let much = want(i32::MAX as u64);
        assert_eq!(much.level, Level::Warn);
        assert!(
            much.text.contains("sysctl -w net.core.rmem_max=2147483647"),
            "{much}"
        );
    }

    #[test]
    fn address_of_another_machine_is_told_from_a_port_in_use() {
        let found = ports(&config("[srt]\nport = \"192.0.2.1:9000\""), &OwnPorts::default());
        assert_eq!(found[0].level, Level::Fail);
        assert!(
            found[0].text.contains("not an address of this machine"),
            "{found:?}"
        );
    }
}
