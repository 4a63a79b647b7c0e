//! The metrics, the alert rules and the dashboard with Debian's Prometheus: scraped values are stored, every rule
//! evaluates, and the gateway exports every name in rules and dashboard.

#[allow(dead_code, reason = "the tests of srt-safe use more of it")]
#[path = "../../srt-safe/tests/support/forwarder.rs"]
mod forwarder;
mod http;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use forwarder::Forwarder;

use http::{Running, wait_until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use srt_safe::{GroupLink, GroupType, Options, SrtGroup, StreamId};

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(file)
}

/// Debian's Prometheus with the shipped rules, which scrapes one gateway each second. Ended on drop.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

impl Prometheus {
    /// `scheme` is more of the scrape's configuration.
    fn start(target: SocketAddr, scheme: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = packaging("prometheus/alerts.yml");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\n\
             scrape_configs:\n- job_name: srt-gateway\n  static_configs: [{{ targets: ['{target}'] }}]\n{scheme}"
        );
        fs::write(&config, text).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is there: apt-get install prometheus");
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(async { reqwest::get(url).await.ok()?.text().await.ok() })?;
        serde_json::from_str(&answer).ok()
    }

    /// The alerts that fire: name, stream, severity.
    fn firing(&self) -> BTreeSet<(String, String, String)> {
        let alerts = self.ask("alerts");
        let alerts = alerts
            .as_ref()
            .and_then(|alerts| alerts["data"]["alerts"].as_array());
        let firing = alerts
            .into_iter()
            .flatten()
            .filter(|alert| alert["state"] == "firing");
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        firing
            .map(|alert| {
                (
                    label(alert, "alertname"),
                    label(alert, "stream"),
                    label(alert, "severity"),
                )
            })
            .collect()
    }

    fn wait_firing(&self, wanted: &[(&str, &str, &str)]) {
        let mut missing = Vec::new();
        let end = std::time::Instant::now() + 3 * http::PATIENCE;
        while std::time::Instant::now() < end {
            let firing = self.firing();
            missing = wanted
                .iter()
                .filter(|(name, stream, severity)| {
                    !firing.contains(&((*name).to_owned(), (*stream).to_owned(), (*severity).to_owned()))
                })
                .collect();
            if missing.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
        panic!("not firing: {missing:?}; firing: {:#?}", self.firing());
    }
}

/// A gateway with a published and played stream, an output, and a refused caller.
fn busy_gateway() -> (Running, [srt_safe::SrtSocket; 2]) {
    let gateway = Running::start(
        "session_metrics = true",
        // Nobody is there: all callers are admitted, and events wait.
        "[alarms]\nraise_after = 0\n[streams.off]\nexpected_off = true\n\
         [auth]\nurl = \"http://127.0.0.1:9/\"\nfail = \"open\"\n[events]\nurl = \"http://127.0.0.1:9/\"\n\
         [streams.\"live/a\"]\noutputs = [\"udp://127.0.0.1:9\"]",
    );
    let publisher = gateway.call("#!::r=live/a,m=publish").unwrap();
    let viewer = gateway.call("#!::r=live/a,m=request").unwrap();
    gateway.wait_sessions(2);
    gateway.call("#!::r=live/a,m=publish").unwrap_err();
    wait_until("figures of all", || {
        publisher.send(&[0x47; 1316]).unwrap();
        let text = gateway.ask("GET", "/metrics").is(200).text();
        let all = [
            "srt_gateway_rejections_total{by=\"stream\",code=\"1409\"} 1",
            "srt_gateway_link_rtt_seconds{stream=\"live/a\",role=\"viewer\"}",
            "srt_gateway_link_rtt_seconds{stream=\"live/a\",role=\"publisher\"}",
            "srt_gateway_session_rtt_seconds{",
            "srt_gateway_hook_questions_total{outcome=\"failed\"}",
            "srt_gateway_hook_call_duration_seconds_bucket{le=\"+Inf\"} ",
            "srt_gateway_stream_up{stream=\"live/a\"} 1",
            "srt_gateway_alarm_active{kind=\"events_failing\"",
            "srt_gateway_stream_silenced{stream=\"off\"} 1",
        ];
        all.iter().all(|row| text.contains(row)).then_some(())
    });
    (gateway, [publisher, viewer])
}

/// The names of series, as stored.
fn names(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

/// Our names in an expression.
fn used(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words
        .filter(|word| word.starts_with("srt_gateway_"))
        .map(str::to_owned)
        .collect()
}

fn value(text: &str, name: &str) -> f64 {
    let row = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_else(|| panic!("no {name}"));
    row.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_stream_that_went_and_came_back_goes_on_counting() {
    let gateway = Running::start("", "");
    let metrics = || gateway.ask("GET", "/metrics").is(200).text();
    let row = "srt_gateway_stream_received_bytes_total{stream=\"live/b\"}";
    let links = "srt_gateway_link_received_unique_bytes_total{stream=\"live/b\",role=\"publisher\"}";
    let mut before = (0.0, 0.0);
    for _ in 0..2 {
        let publisher = gateway.call("#!::r=live/b,m=publish").unwrap();
        let now = wait_until("more than before", || {
            publisher.send(&[0x47; 1316]).unwrap();
            let text = metrics();
            let now = text
                .contains(row)
                .then(|| (value(&text, row), value(&text, links)))?;
            assert!(now.0 >= before.0 && now.1 >= before.1, "{now:?} after {before:?}");
            (now.0 > before.0 + 1e4 && now.1 > before.1 + 1e4).then_some(now)
        });
        before = now;
        drop(publisher);
        wait_until("the stream to be gone", || {
            (!metrics().contains(row)).then_some(())
        });
    }
}

#[test]
fn totals_never_fall_and_names_have_their_units() {
    let (gateway, sockets) = busy_gateway();
    let text = gateway.ask("GET", "/metrics").text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("srt_gateway_build_info{version="));
    let row = "srt_gateway_link_received_unique_packets_total{stream=\"live/a\",role=\"publisher\"}";
    let before = value(&text, row);
    assert!(before > 0.0);
    drop(sockets);
    wait_until("the sessions' end", || {
        (gateway.ask("GET", "/api/v1/sessions").value()["total"] == 0).then_some(())
    });
    let after = gateway.ask("GET", "/metrics").text();
    assert!(value(&after, row) >= before);
    assert!(
        !after.contains("srt_gateway_session_rtt_seconds{"),
        "series of a session that is gone"
    );
}

#[test]
fn every_name_in_rules_and_dashboard_is_one_that_is_given() {
    let (gateway, _sockets) = busy_gateway();
    let given = names(&gateway.ask("GET", "/metrics").text());
    let rules = fs::read_to_string(packaging("prometheus/alerts.yml")).unwrap();
    let dashboard = fs::read_to_string(packaging("grafana/srt-gateway.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let used: BTreeSet<_> = used(&rules)
        .union(&used(&dashboard.to_string()))
        .cloned()
        .collect();
    assert!(used.len() > 15, "{used:?}");
    let missing: Vec<_> = used.difference(&given).collect();
    assert!(missing.is_empty(), "{missing:?} of {given:#?}");
    let documented = fs::read_to_string(packaging("../docs/metrics.md")).unwrap();
    let described = given
        .iter()
        .filter(|name| !name.contains("_session_") || name.contains("sessions"));
    let left_out: Vec<_> = described
        .filter(|name| !documented.contains(name.as_str()))
        .collect();
    assert!(left_out.is_empty(), "not in docs/metrics.md: {left_out:#?}");
}

/// Detects figures that a newer libsrt adds.
#[test]
fn every_figure_of_libsrt_is_on_the_page_and_given() {
    let bindings = fs::read_to_string(packaging("../srt-sys/src/bindings.rs")).unwrap();
    let (_, body) = bindings.split_once("pub struct CBytePerfMon {").unwrap();
    let fields: Vec<_> = body
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next())
        .collect();
    assert!(fields.len() > 80, "{fields:?}");
    let documented = fs::read_to_string(packaging("../docs/metrics.md")).unwrap();
    let is_told = |field: &str| documented.contains(&format!("`{field}`"));
    // Of figures that exist both as totals and since the last sample, one is enough.
    let left_out: Vec<_> = fields
        .iter()
        .filter(|field| !is_told(field) && !is_told(&format!("{field}Total")))
        .collect();
    assert!(left_out.is_empty(), "not in docs/metrics.md: {left_out:?}");

    let (gateway, _sockets) = busy_gateway();
    let given = names(&gateway.ask("GET", "/metrics").text());
    let rows = documented.lines().filter(|line| line.starts_with("| `"));
    let mut named = 0;
    for quoted in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        let prefixes = match quoted.split_once(' ') {
            Some(("X", _)) => &["srt_gateway_link_", "srt_gateway_session_"][..],
            Some(("S", _)) => &["srt_gateway_session_"],
            _ => continue,
        };
        for prefix in prefixes {
            let name = format!("{prefix}{}", &quoted[2..]);
            assert!(given.contains(&name), "{name} is not given");
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}

fn promtool(action: &str, file: &Path) {
    let done = Command::new("promtool")
        .args([action, "rules"])
        .arg(file)
        .output();
    let done = done.expect("promtool is there: apt-get install prometheus");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn alerts_come_when_they_should_and_not_else() {
    promtool("test", &packaging("prometheus/alerts.test.yml"));
}

#[test]
fn prometheus_stores_what_is_scraped_and_evaluates_every_rule() {
    promtool("check", &packaging("prometheus/alerts.yml"));
    let (gateway, _sockets) = busy_gateway();
    let prometheus = Prometheus::start(gateway.api, "");
    wait_until("a good scrape", || {
        let target = &prometheus.ask("targets")?["data"]["activeTargets"][0];
        assert_ne!(target["health"], "down", "{target}");
        (target["health"] == "up").then_some(())
    });
    wait_until("the rules evaluated", || {
        let rules = prometheus.ask("rules")?["data"]["groups"][0]["rules"].clone();
        let rules = rules.as_array()?;
        let unwell = rules.iter().find(|rule| rule["health"] == "err");
        assert!(unwell.is_none(), "{unwell:?}");
        (rules.len() > 8 && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });
    let stored = prometheus.ask("query?query=srt_gateway_stream_up").unwrap();
    let streams: Vec<_> = stored["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| &series["metric"]["stream"])
        .collect();
    assert!(streams.contains(&&"live/a".into()), "{stored}");
}

/// Sends again and again until it is dropped.
struct Feed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    fn start(mut send: impl FnMut() -> bool + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) && send() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// A publisher that stays.
    fn publish(gateway: &Running, stream: &str, message: Vec<u8>) -> Self {
        let publisher = gateway.call(&format!("#!::r={stream},m=publish")).unwrap();
        Self::start(move || publisher.send(&message).is_ok())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A message of null packets.
fn null_packets() -> Vec<u8> {
    let mut packet = [0xff_u8; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(7)
}

/// An address at which nobody is.
fn nowhere() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A publisher over two links, of which the first is cut.
fn bonded_with_a_cut(gateway: &Running, stream: &str) -> (Feed, [Forwarder; 2]) {
    let wires = [Forwarder::to(gateway.srt), Forwarder::to(gateway.srt)];
    let options = Options::new()
        .stream_id(StreamId::new(format!("#!::r={stream},m=publish")).unwrap())
        .latency(Duration::from_millis(200))
        .peer_idle_timeout(Duration::from_secs(2));
    let links = wires.iter().fold(
        SrtGroup::builder(GroupType::Broadcast).options(options),
        |group, wire| group.link(GroupLink::new(wire.entry())),
    );
    let group = links.connect().unwrap();
    let feed = Feed::start(move || group.send(&null_packets()).is_ok());
    wait_until("both links", || {
        let sessions = gateway.ask("GET", "/api/v1/sessions").is(200).value();
        let session = sessions["items"]
            .as_array()?
            .iter()
            .find(|session| session["stream"] == stream)?
            .clone();
        (session["bonded"].as_array()?.len() == 2).then_some(())
    });
    // The figures of the links are taken once a second.
    wait_until("both links work", || {
        let sessions = gateway.ask("GET", "/api/v1/sessions").is(200).value();
        let session = sessions["items"]
            .as_array()?
            .iter()
            .find(|session| session["stream"] == stream)?
            .clone();
        let links = session["bonded"].as_array()?;
        let works = |link: &&Value| matches!(link["state"].as_str(), Some("running" | "idle"));
        (links.iter().filter(works).count() == 2).then_some(())
    });
    wires[0].cut();
    (feed, wires)
}

/// What the issue asks for: each of these conditions, on a running gateway, is an alert of the shipped rules.
#[test]
fn each_condition_is_an_alert_of_prometheus_and_what_is_expected_off_is_none() {
    let (first, second) = (nowhere(), nowhere());
    let config = format!(
        "[srt_defaults]\ngroupconnect = true\npeer_idle_timeout = 2\n[alarms]\nraise_after = 1\nclear_after = 1\n\
         [streams.lost]\n[streams.off]\nexpected_off = true\n[streams.\"window/x\"]\n\
         [streams.never]\ninputs = [\"srt://{}?connect_timeout=1\"]\n\
         [streams.output]\noutputs = [{{ url = \"srt://{}?connect_timeout=1\", name = \"CDN\" }}]\n\
         [streams.backup]\ninputs = [\"udp://{first}\", \"udp://{second}\"]\n[streams.other]\n[streams.bonded]\n",
        nowhere(),
        nowhere()
    );
    let gateway = Running::start("", &config);
    let prometheus = Prometheus::start(gateway.api, "");
    gateway
        .json(
            "POST",
            "/api/v1/maintenance",
            r#"{"streams": "window/*", "seconds": 3600}"#,
        )
        .is(201);
    for stream in ["lost", "off", "window/x"] {
        let feed = Feed::publish(&gateway, stream, null_packets());
        wait_until("data", || {
            let streams = gateway.ask("GET", "/api/v1/streams").is(200).value();
            let found = streams["items"]
                .as_array()?
                .iter()
                .find(|found| found["name"] == stream)?
                .clone();
            (found["state"] == "live").then_some(())
        });
        drop(feed);
    }
    let input = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _feeds = [
        Feed::publish(&gateway, "output", null_packets()),
        Feed::publish(&gateway, "other", vec![0x11; 1316]),
        Feed::start(move || input.send_to(&null_packets(), first).is_ok()),
    ];
    let _bonded = bonded_with_a_cut(&gateway, "bonded");
    prometheus.wait_firing(&[
        ("SrtStreamDown", "lost", "critical"),
        ("SrtStreamNeverCameUp", "never", "critical"),
        ("SrtOutputDown", "output", "critical"),
        ("SrtBackupDown", "backup", "warning"),
        ("SrtNotMpegTs", "other", "warning"),
        ("SrtRedundancyLost", "bonded", "warning"),
    ]);
    // The same severities are in the list of alarms.
    let alarms = gateway.ask("GET", "/api/v1/alarms?state=active").is(200).value();
    let severities: BTreeMap<_, _> = alarms["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alarm| {
            (
                alarm["stream"].as_str().unwrap_or_default(),
                alarm["severity"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (severities["output"], severities["bonded"]),
        ("critical", "warning"),
        "{alarms:#}"
    );

    let text = fs::read_to_string(gateway.config()).unwrap();
    fs::write(gateway.config(), format!("{text}nonsense = 1\n")).unwrap();
    prometheus.wait_firing(&[("SrtReloadRefused", "", "warning")]);

    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    let open = fs::read_dir(format!("/proc/{}/fd", gateway.pid()))
        .unwrap()
        .count();
    let limit = Rlimit {
        current: Some(open as u64 + 10),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    prometheus.wait_firing(&[("SrtResourcesShort", "", "critical")]);

    let firing = prometheus.firing();
    let about = |stream: &str| firing.iter().any(|(_, of, _)| of == stream);
    assert!(
        about("lost") && !about("off") && !about("window/x"),
        "{firing:#?}"
    );
}

#[test]
fn a_certificate_that_ends_soon_is_an_alert() {
    let soon = std::time::SystemTime::now() + Duration::from_secs(5 * 86_400);
    let soon = humantime::format_rfc3339_seconds(soon).to_string();
    let part = |range: std::ops::Range<usize>| soon[range].parse::<u8>().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(soon[..4].parse().unwrap(), part(5..7), part(8..10));
    let pair = rcgen::KeyPair::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    let gateway = Running::start(&format!("tls = {{ cert = {cert:?}, key = {key:?} }}"), "");
    let scheme = "  scheme: https\n  tls_config: { insecure_skip_verify: true }\n";
    let prometheus = Prometheus::start(gateway.api, scheme);
    prometheus.wait_firing(&[("SrtCertificateExpires", "", "warning")]);
}
