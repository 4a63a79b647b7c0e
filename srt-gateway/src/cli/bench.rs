//! `bench`: puts a load on a server and measures it; `bench compare`: several servers in turn, from a scenario file.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use super::{USAGE, say, say_error};
use crate::bench::{self, Load, Scenario, Target};

/// What `bench` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    compare: Option<Compare>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, clap::Subcommand)]
enum Compare {
    /// Start the servers of a scenario file one after the other, apply each load to each of them, and compare.
    Compare(CompareArgs),
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The TOML file: see docs/performance.md.
    scenario: PathBuf,
    /// Number of rounds; overrides the file.
    #[arg(long)]
    rounds: Option<u32>,
    /// Run only the loads whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Exit with 1 if a server uses more than this multiple of the first server's CPU per gigabit.
    #[arg(long, value_name = "RATIO")]
    fail_above: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Address and port of the server.
    server: SocketAddr,
    /// Streamid of a publisher; n in braces stands for the number of its stream, from 0.
    #[arg(long, default_value = crate::bench::PUBLISH)]
    publish: String,
    /// Streamid of a viewer.
    #[arg(long, default_value = crate::bench::PLAY)]
    play: String,
    /// Process id of the server on this machine, to measure its CPU time, memory, threads and context switches.
    #[arg(long)]
    pid: Option<u32>,
    /// Number of publishers, each with its own stream.
    #[arg(long, default_value_t = 1)]
    publishers: u32,
    /// Total number of viewers, distributed over the streams.
    #[arg(long, default_value_t = 100)]
    viewers: u32,
    /// Payload bit rate of each publisher in bits per second; 0 connects without sending.
    #[arg(long, default_value_t = 5_000_000)]
    bitrate: u64,
    /// Interval between bursts in milliseconds.
    #[arg(long, default_value_t = 10.0)]
    burst: f64,
    /// SRT latency of all sessions in milliseconds.
    #[arg(long, default_value_t = 120)]
    latency: u64,
    /// Time before the measurement in seconds.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Length of the measurement in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Number of local ports that viewers share, and number of those that publishers share.
    #[arg(long, default_value_t = 4)]
    local_ports: u16,
    /// Make viewers hold packets for the latency (TSBPD), as players do, instead of receiving them on arrival.
    #[arg(long)]
    timed: bool,
    /// Run viewers at idle priority, except those whose delay is measured. Use it when the server shares the cores.
    #[arg(long)]
    aside: bool,
    /// Passphrase that encrypts all sessions.
    #[arg(long)]
    passphrase: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn bench(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match (args.compare, args.run) {
        (Some(Compare::Compare(args)), _) => compare(&args),
        (None, Some(args)) => run(args),
        (None, None) => {
            say_error(format_args!(
                "srt-gateway: give the address of a server, or a scenario: see bench --help"
            ));
            Ok(ExitCode::from(USAGE))
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let target = Target {
        addr: args.server,
        publish: args.publish,
        play: args.play,
        pid: args.pid,
    };
    let load = Load {
        name: "load".to_owned(),
        publishers: args.publishers,
        viewers: args.viewers,
        bitrate: args.bitrate,
        burst: args.burst,
        latency: args.latency,
        warmup: args.warmup,
        seconds: args.seconds,
        local_ports: args.local_ports,
        timed: args.timed,
        aside: args.aside,
        passphrase: args.passphrase,
    };
    let figures = bench::run(&load, &target).map_err(anyhow::Error::msg)?;
    if args.json {
        say(format_args!("{}", serde_json::to_string(&figures)?));
    } else {
        say(format_args!("{}", bench::figures_table(&figures).trim_end()));
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&args.scenario)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.scenario.display()))?;
    let mut scenario = match Scenario::parse(&text) {
        Ok(scenario) => scenario,
        Err(why) => {
            say_error(format_args!("srt-gateway: {}: {why}", args.scenario.display()));
            return Ok(ExitCode::from(USAGE));
        }
    };
    scenario.rounds = args.rounds.unwrap_or(scenario.rounds).max(1);
    if let Some(only) = &args.only {
        scenario.load.retain(|load| load.name.contains(only));
    }
    let comparison = bench::compare(&scenario, |load, server, figures| {
        if !args.json {
            let cpu = figures.server.and_then(|server| server.cpu_seconds_per_gigabit);
            say_error(format_args!(
                "{}: {server}: {} CPU s/Gb, {} lost, own {:.2} cores",
                load.name,
                cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}")),
                figures.lost,
                figures.own_cores
            ));
        }
    })
    .map_err(anyhow::Error::msg)?;
    if args.json {
        say(format_args!("{}", serde_json::to_string(&comparison)?));
    } else {
        say(format_args!(
            "{}",
            bench::comparison_table(&comparison).trim_end()
        ));
    }
    let worst = comparison.worst_cpu_ratio();
    Ok(match (args.fail_above, worst) {
        (Some(limit), Some(worst)) if worst > limit => {
            say_error(format_args!(
                "srt-gateway: {worst:.2} x the first server's CPU per gigabit, above {limit}"
            ));
            ExitCode::FAILURE
        }
        (Some(_), None) => {
            say_error(format_args!(
                "srt-gateway: nothing was delivered, so there is nothing to compare"
            ));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}
