//! A gateway under all kinds of load at once, for any duration: `cargo xtask soak`.
//!
//! A reference stream runs from the first second to the last. Beside it publishers and viewers come and go, viewers
//! stop reading, the configuration is reloaded, the API changes streams, the hook's backend fails, and unknown senders
//! send garbage. Memory, descriptors and threads of the gateway are sampled every second. The run fails if they grow,
//! or if the reference stream loses a packet.
//!
//! `SOAK_SECONDS` sets the duration; 75 without it. No test harness: one run, and its figures on standard output.

mod trouble;
mod usage;

use std::{
    env, fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use srt_e2e::{
    gateway::GatewayProcess,
    http::{HttpServer, Reply},
    innocent::Innocent,
    wait::wait_for,
};
use srt_gateway::config::PortKind;
use trouble::{Target, Trouble};
use usage::{Sample, Verdict};

/// Without `SOAK_SECONDS`.
const SHORT: u64 = 75;

/// How long the reference stream runs alone before the trouble begins, and after it has ended.
const QUIET: Duration = Duration::from_secs(3);

/// The latency of the reference stream: long enough that a loaded machine makes nothing late.
const LATENCY: Duration = Duration::from_secs(2);

/// The longest time until the gateway has cleaned up: silent peers time out after five seconds, and libsrt keeps closed
/// sockets for three.
const SETTLE: Duration = Duration::from_secs(40);

/// The configuration; it differs in each `turn`.
fn configuration(hook: &str, turn: u32) -> String {
    format!(
        "[srt]\nport = \"127.0.0.1:0\"\nlatency = 1000\n\
         [api]\nlisten = \"127.0.0.1:0\"\n\
         [auth]\nurl = {hook:?}\ntimeout = \"2s\"\n\
         [streams_default]\naccept_unknown = true\n\
         [streams.innocent]\n\
         [streams.reloaded]\nmax_viewers = {}\n",
        turn % 50 + 1
    )
}

fn main() -> ExitCode {
    let seconds =
        env::var("SOAK_SECONDS").map_or(SHORT, |text| text.parse().expect("SOAK_SECONDS is a number"));
    match soak(Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            for fault in faults {
                eprintln!("soak: {fault}");
            }
            ExitCode::FAILURE
        }
    }
}

fn soak(time: Duration) -> Result<(), Vec<String>> {
    let trouble_time = time.saturating_sub(QUIET);
    let hook = HttpServer::start(|_| Reply::ok("{}"));
    let mut gateway = GatewayProcess::start(&configuration(&hook.url("/auth"), 0), "console at ");
    let target = Target {
        srt: gateway.addr(PortKind::Both),
        api: api_of(&mut gateway),
    };
    let process = gateway.process().id();
    let innocent = Innocent::start(target.srt, LATENCY);
    let quiet = Instant::now();
    wait_for(Duration::from_secs(30), "the innocent stream to flow", || {
        (quiet.elapsed() > QUIET && innocent.received() > 100).then_some(())
    });

    let before = Sample::of(process);
    println!("before: {before}");
    let trouble = Trouble::start(target);
    let file = gateway.config();
    let mut samples = Vec::new();
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < trouble_time {
        std::thread::sleep(Duration::from_secs(1));
        samples.push(Sample::of(process));
        let second = begun.elapsed().as_secs();
        if second.is_multiple_of(5) {
            turn += 1;
            fs::write(&file, configuration(&hook.url("/auth"), turn)).expect("a file of the test's own");
        }
        // One time in three the backend is disconnected.
        match second % 15 {
            0..10 => hook.follow(|_| Reply::ok("{}")),
            _ => hook.follow(|_| Reply::Cut),
        }
        if second.is_multiple_of(30) {
            println!("{second:>6} s: {}", samples.last().unwrap_or(&before));
        }
    }
    let work = trouble.end();
    let mut verdict = Verdict::default();
    verdict.judge_growth(&samples);
    let settled = usage::settle(process, &before, SETTLE);
    println!("after:  {settled}");
    println!("{work}");
    verdict.judge_rest(&before, &settled);
    verdict.judge_work(&work);
    verdict.judge_innocent(&innocent.end());
    if !gateway.process().is_running() {
        verdict.fail("the gateway has ended");
    } else if !gateway.stop().success() {
        verdict.fail("the gateway did not end in order");
    }
    verdict.into_result()
}

fn api_of(gateway: &mut GatewayProcess) -> std::net::SocketAddr {
    let line = gateway
        .process()
        .wait_for_line(Duration::from_secs(10), "the API's address", |line| {
            line.contains("console at ")
        });
    let url = line.split("://").nth(1).expect("a URL in the line");
    url.trim_end_matches('/').parse().expect("an address and a port")
}
