//! Runs one row: a gateway, the client, and a caller of the test at the other end of the stream.

use crate::clients::{Carrier, Use, words};
use crate::judge::{assert_exact, assert_remuxed};
use crate::rows::{Expected, Family, Key, Mode, Role, Row};
use crate::url::{PASSPHRASE, Place, STREAM};
use srt_e2e::client::{Publisher, Viewer};
use srt_e2e::gateway::GatewayProcess;
use srt_e2e::pace::{Feeder, Tail};
use srt_e2e::peers::Process;
use srt_e2e::ports::free_udp_on;
use srt_e2e::source::{Sample, StampedTs, sample_ts};
use srt_e2e::wait::wait_until_or;
use srt_gateway::config::PortKind;
use srt_safe::Options;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// The time-out of all waits. Nothing takes that long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);
/// Enough for programs that a busy machine delays: SRT drops packets that are later than a second.
const LATENCY: Duration = Duration::from_millis(1500);
/// The amount of data that must arrive if the bytes stay the same: two seconds.
const ENOUGH: usize = 750_000;
/// The amount of data that must arrive of a stream that a client remuxed, and the pictures in it, of which there are 30
/// per second.
const ENOUGH_REMUXED: usize = 650_000;
const PICTURES: usize = 40;

/// The addresses of a rendezvous.
const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// The stream of a row and its rate.
fn source(row: &Row) -> (Arc<[u8]>, u64) {
    static STAMPED: OnceLock<StampedTs> = OnceLock::new();
    if row.client.remuxes(row.role) {
        return (sample_ts().bytes(), Sample::RATE);
    }
    // Long enough for a client that starts late.
    let stamped = STAMPED.get_or_init(|| StampedTs::generate(1, 30_000, 3_000_000));
    (stamped.bytes(), stamped.rate())
}

/// A running client.
struct Running {
    process: Process,
    feeder: Option<Feeder>,
    folder: TempDir,
}

impl Running {
    fn start(row: &Row, place: &Place) -> (Self, impl FnOnce(&mut Self) + use<>) {
        let folder = tempfile::tempdir().unwrap();
        // VLC writes here as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let words = words(row, place, Use::Test);
        let command = row.client.command(&words, folder.path());
        let name = words.join(" ");
        let (stream, rate) = source(row);
        let mut stdin = None;
        let process = match (row.client.carrier(row.role), row.role) {
            (Carrier::File, Role::Publish) => {
                fs::write(folder.path().join("FILE.ts"), &stream).unwrap();
                Process::spawn(&name, command)
            }
            (Carrier::File, Role::Play) => Process::spawn(&name, command),
            (Carrier::Pipe, Role::Publish) => {
                let (process, pipe) = Process::spawn_fed(&name, command);
                stdin = Some(pipe);
                process
            }
            (Carrier::Pipe, Role::Play) => Process::spawn_into(
                &name,
                command,
                File::create(folder.path().join("OUT.ts")).unwrap(),
            ),
        };
        let feed = move |running: &mut Self| {
            running.feeder = stdin.map(|mut stdin| {
                Feeder::start(stream, rate, Tail::NullPackets, move |chunk| {
                    stdin.write_all(chunk)
                })
            });
        };
        let running = Self {
            process,
            feeder: None,
            folder,
        };
        (running, feed)
    }

    fn received(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("OUT.ts")).unwrap_or_default()
    }

    fn length(&self) -> u64 {
        let file = fs::metadata(self.folder.path().join("OUT.ts"));
        file.map_or(0, |file| file.len())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Dropped first: a feeder that is blocked on the process's pipe gets an error then.
        self.process.kill();
    }
}

/// Runs `row`.
///
/// # Panics
/// If the result differs from the table.
pub(crate) fn run(row: &Row) {
    let ip: IpAddr = match row.family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    match row.mode {
        Mode::Shared | Mode::Own => called(row, ip),
        Mode::Listener => {
            let addr = free_udp_on(ip);
            let place = Place {
                addr,
                local: None,
                latency: Some(LATENCY),
            };
            calling(
                row,
                ip,
                &place,
                addr,
                &format!("srt://{addr}?latency={}", LATENCY.as_millis()),
            );
        }
        Mode::Rendezvous => {
            let theirs = free_udp_on(THEIRS);
            let ours = SocketAddr::new(OURS, theirs.port());
            let place = Place {
                addr: ours,
                local: Some(THEIRS),
                latency: Some(LATENCY),
            };
            let latency = LATENCY.as_millis();
            let url = format!("srt://{theirs}?mode=rendezvous&adapter={OURS}&latency={latency}");
            calling(row, ip, &place, theirs, &url);
        }
    }
}

/// The settings of an encrypted port or endpoint.
fn secret(row: &Row, with_length: bool) -> String {
    match row.key {
        Key::None => String::new(),
        key if with_length => format!(", passphrase = \"{PASSPHRASE}\", key_length = {}", key.bytes()),
        _ => format!(", passphrase = \"{PASSPHRASE}\""),
    }
}

/// A configuration with its own ports in which everything may be published and played without a secret.
fn config(ip: IpAddr, more: &str) -> String {
    let any = SocketAddr::new(ip, 0);
    format!(
        "[api]\nlisten = \"\"\n[streams_default]\naccept_unknown = true\n\
         [srt_publish]\nport = \"{any}\"\n[srt_play]\nport = \"{any}\"\n{more}"
    )
}

fn options() -> Options {
    Options::new().latency(LATENCY).payload_size(1456)
}

fn watch(gateway: &GatewayProcess) -> Viewer {
    Viewer::connect(gateway.addr(PortKind::Play), STREAM, options())
}

fn publish(gateway: &GatewayProcess, row: &Row) -> Publisher {
    let (stream, rate) = source(row);
    let feed = (stream, rate, Tail::NullPackets);
    Publisher::connect(gateway.addr(PortKind::Publish), STREAM, options(), feed)
}

/// The client calls a port of the gateway.
fn called(row: &Row, ip: IpAddr) {
    let any = SocketAddr::new(ip, 0);
    let secret = secret(row, false);
    let (kind, key, more) = match (row.mode, row.role) {
        (Mode::Shared, _) => (PortKind::Both, "srt", ""),
        (_, Role::Publish) => (PortKind::Publish, "srt_publish", "\n"),
        (_, Role::Play) => (PortKind::Play, "srt_play", "\n"),
    };
    let table = if more.is_empty() {
        String::new()
    } else {
        format!("[streams.\"{STREAM}\"]\n")
    };
    let port = format!("{table}{key} = {{ port = \"{any}\"{secret} }}\n");
    // Top-level keys come before all tables.
    let config = if table.is_empty() {
        port + &config(ip, "")
    } else {
        config(ip, &port)
    };
    let mut gateway = GatewayProcess::start(&config, "listening");
    let addr = if row.mode == Mode::Shared {
        gateway.addr(kind)
    } else {
        gateway.addr_of(kind, STREAM)
    };
    let place = Place {
        addr,
        local: None,
        latency: Some(LATENCY),
    };
    let viewer = (row.role == Role::Publish).then(|| watch(&gateway));
    let (mut client, feed) = Running::start(row, &place);
    if let Expected::Refused { code, .. } = row.expected() {
        let code = format!("code={code}");
        let log = gateway.process();
        log.wait_for_line(DEADLINE, &format!("refused with {code}"), |line| {
            line.contains(&code)
        });
        return;
    }
    let role = match row.role {
        Role::Publish => "publisher",
        Role::Play => "viewer",
    };
    let encryption = match row.key {
        Key::None => "none".to_owned(),
        key => format!("AES-{}", key.bytes() * 8),
    };
    // For viewers, the gateway's log contains the test's own viewer as well.
    let port = addr.port().to_string();
    let line = wait_for_log(
        &mut gateway,
        &client,
        &format!("a {role} on port {port}"),
        |line| line.contains("connected") && line.contains(&format!("role={role}")) && line.contains(&port),
    );
    assert!(
        line.contains(&format!("encryption=\"{encryption}\"")),
        "{encryption} wanted: {line}"
    );
    match viewer {
        Some(_) if matches!(row.expected(), Expected::Silent { .. }) => {
            // It closes at the end of its file.
            let what = "the end of a silent publisher";
            let line = wait_for_log(&mut gateway, &client, what, |line| {
                line.contains("closed") && line.contains("role=publisher")
            });
            assert!(
                line.contains("totals=0 bytes"),
                "it sends by now, correct the table: {line}"
            );
        }
        Some(viewer) => {
            feed(&mut client);
            judge_published(row, &client, viewer);
        }
        None => {
            let _publisher = publish(&gateway, row);
            judge_played(row, &mut client);
        }
    }
}

/// The gateway calls the client, or both call each other. `bound` is the client's address.
fn calling(row: &Row, ip: IpAddr, place: &Place, bound: SocketAddr, url: &str) {
    let (mut client, feed) = Running::start(row, place);
    let what = || format!("a client on {bound}\n{}", client.process.tail());
    wait_until_or(DEADLINE, what, || is_bound(bound));
    let key = match row.role {
        Role::Publish => "inputs",
        Role::Play => "outputs",
    };
    let endpoint = format!(
        "[streams.\"{STREAM}\"]\n{key} = [{{ url = \"{url}\"{} }}]\n",
        secret(row, true)
    );
    let gateway = GatewayProcess::start(&config(ip, &endpoint), "listening");
    match row.role {
        Role::Publish => {
            let viewer = watch(&gateway);
            feed(&mut client);
            judge_published(row, &client, viewer);
        }
        Role::Play => {
            let _publisher = publish(&gateway, row);
            judge_played(row, &mut client);
        }
    }
}

/// Waits for a line of the gateway's log; if none appears, the panic contains the client's output as well.
#[track_caller]
fn wait_for_log(
    gateway: &mut GatewayProcess,
    client: &Running,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> String {
    let log = gateway.process();
    let mut found = None;
    let told = || format!("{what}\n{}\n{}", client.process.tail(), log.tail());
    wait_until_or(DEADLINE, told, || {
        found = log.lines().into_iter().find(|line| wanted(line));
        found.is_some()
    });
    found.unwrap_or_default()
}

#[track_caller]
fn judge_published(row: &Row, client: &Running, viewer: Viewer) {
    let remuxed = row.client.remuxes(row.role);
    let enough = if remuxed { ENOUGH_REMUXED } else { ENOUGH };
    let what = || format!("{enough} bytes at a viewer\n{}", client.process.tail());
    wait_until_or(DEADLINE, what, || viewer.len() >= enough);
    let received = viewer.finish().bytes;
    if remuxed {
        assert_remuxed(&received, PICTURES);
    } else {
        assert_exact(&source(row).0, &received, ENOUGH);
    }
}

#[track_caller]
fn judge_played(row: &Row, client: &mut Running) {
    if row.client.remuxes(row.role) {
        client.process.wait_success(DEADLINE);
        let lines = client.process.lines();
        let fault = lines.iter().find(|line| line.contains("corrupt"));
        assert_eq!(fault, None, "packets were missing");
        assert_remuxed(&client.received(), PICTURES);
        return;
    }
    let enough = ENOUGH as u64;
    let what = || format!("{enough} bytes at the client\n{}", client.process.tail());
    wait_until_or(DEADLINE, what, || client.length() >= enough);
    let received = client.received();
    // Some clients write in blocks, which do not end with a packet.
    let whole = received.len() / 188 * 188;
    assert_exact(&source(row).0, &received[..whole], ENOUGH - 188);
}

/// Whether a UDP socket has this port. A check by binding it would disturb the client.
fn is_bound(addr: SocketAddr) -> bool {
    let list = if addr.is_ipv4() {
        "/proc/net/udp"
    } else {
        "/proc/net/udp6"
    };
    let port = format!(":{:04X}", addr.port());
    let table = fs::read_to_string(list).unwrap_or_default();
    // An IPv6 socket may serve IPv4 as well.
    let both = fs::read_to_string("/proc/net/udp6").unwrap_or_default();
    let local = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|addr| addr.ends_with(&port))
    };
    table.lines().chain(both.lines()).any(local)
}
