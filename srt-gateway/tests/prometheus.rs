//! The metrics, the alert rules and the dashboard against Debian's Prometheus: what is scraped is stored, every rule
//! evaluates, and every name in rules and dashboard is one that the gateway gives.

mod http;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use http::{Running, wait_until};
use serde_json::Value;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(file)
}

/// Ended on drop.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// A gateway with a stream that is published and played, with an output, and with a caller refused.
fn busy_gateway() -> (Running, [srt_safe::SrtSocket; 2]) {
    let gateway = Running::start(
        "session_metrics = true",
        // Nobody is there: everybody is let in, and events wait.
        "[auth]\nurl = \"http://127.0.0.1:9/\"\nfail = \"open\"\n[events]\nurl = \"http://127.0.0.1:9/\"\n\
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
        ];
        all.iter().all(|row| text.contains(row)).then_some(())
    });
    (gateway, [publisher, viewer])
}

/// Names of series, as they are stored.
fn names(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

/// The names of ours in an expression.
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

/// A libsrt that gives more is to be noticed here.
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
    // Of what is counted in all and since the last look, one is enough.
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
    let rules = packaging("prometheus/alerts.yml");
    promtool("check", &rules);

    let (gateway, _sockets) = busy_gateway();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\n\
         scrape_configs:\n- job_name: srt-gateway\n  static_configs: [{{ targets: ['{}'] }}]\n",
        gateway.api
    );
    fs::write(&config, text).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let _prometheus = Prometheus(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is there: apt-get install prometheus"),
    );
    let ask = |path: &str| -> Option<Value> {
        let url = format!("http://{address}/api/v1/{path}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(async { reqwest::get(url).await.ok()?.text().await.ok() })?;
        serde_json::from_str(&answer).ok()
    };
    wait_until("a good scrape", || {
        let target = &ask("targets")?["data"]["activeTargets"][0];
        assert_ne!(target["health"], "down", "{target}");
        (target["health"] == "up").then_some(())
    });
    wait_until("the rules evaluated", || {
        let rules = ask("rules")?["data"]["groups"][0]["rules"].clone();
        let rules = rules.as_array()?;
        let unwell = rules.iter().find(|rule| rule["health"] == "err");
        assert!(unwell.is_none(), "{unwell:?}");
        (rules.len() > 8 && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });
    let stored = ask("query?query=srt_gateway_stream_up").unwrap();
    assert_eq!(
        stored["data"]["result"][0]["metric"]["stream"], "live/a",
        "{stored}"
    );
}
