//! Compares servers: each load on each server, in turn, in several rounds, so that disturbances affect all of them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use serde::Serialize;

use super::{Figures, Load, Result, Scenario, Target, load::run, plan::Server, server::Process};

/// The results of a scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) loads: Vec<LoadResults>,
}

/// All servers under one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadResults {
    pub(crate) load: Load,
    pub(crate) servers: Vec<ServerResults>,
}

/// One server under one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerResults {
    pub(crate) server: String,
    pub(crate) rounds: Vec<Figures>,
    /// Medians over the rounds.
    pub(crate) medians: Summary,
    /// Medians of the per-round ratios to the first server.
    pub(crate) ratios: Summary,
}

/// The compared figures. `None` if a load does not produce them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) cpu_seconds_per_gigabit: Option<f64>,
    pub(crate) cores: Option<f64>,
    pub(crate) rss_kib_per_connection: Option<f64>,
    pub(crate) rss_kib: Option<f64>,
    pub(crate) switches_per_second: Option<f64>,
    pub(crate) connects_per_second: Option<f64>,
    pub(crate) delay_p50: Option<f64>,
    pub(crate) delay_p99: Option<f64>,
    pub(crate) lost_share: Option<f64>,
}

type Field = fn(&mut Summary) -> &mut Option<f64>;

const FIELDS: [Field; 9] = [
    |s| &mut s.cpu_seconds_per_gigabit,
    |s| &mut s.cores,
    |s| &mut s.rss_kib_per_connection,
    |s| &mut s.rss_kib,
    |s| &mut s.switches_per_second,
    |s| &mut s.connects_per_second,
    |s| &mut s.delay_p50,
    |s| &mut s.delay_p99,
    |s| &mut s.lost_share,
];

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "numbers far below 2^53")]
    fn of(figures: &Figures) -> Self {
        let cost = figures.server.as_ref();
        Self {
            cpu_seconds_per_gigabit: cost.and_then(|cost| cost.cpu_seconds_per_gigabit),
            cores: cost.map(|cost| cost.cores),
            rss_kib_per_connection: cost.map(|cost| cost.rss_kib_per_connection),
            rss_kib: cost.map(|cost| cost.rss_kib as f64),
            switches_per_second: cost.map(|cost| cost.switches_per_second),
            connects_per_second: Some(figures.connect.per_second),
            delay_p50: figures.delay.map(|delay| delay.p50),
            delay_p99: figures.delay.map(|delay| delay.p99),
            lost_share: (figures.expected > 0).then(|| figures.lost as f64 / figures.expected as f64),
        }
    }

    fn over(mut self, mut base: Self) -> Self {
        for field in FIELDS {
            let ratio = match (*field(&mut self), *field(&mut base)) {
                (Some(mine), Some(theirs)) if theirs > 0.0 => Some(mine / theirs),
                _ => None,
            };
            *field(&mut self) = ratio;
        }
        self
    }

    fn median(rounds: &[Self]) -> Self {
        let mut medians = Self::default();
        for field in FIELDS {
            let mut values: Vec<f64> = rounds
                .iter()
                .copied()
                .filter_map(|mut s| *field(&mut s))
                .collect();
            *field(&mut medians) = median(&mut values);
        }
        medians
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

/// Runs a scenario. `progress` is called after each measurement.
///
/// # Errors
/// A server that does not start, ends early or admits nobody.
pub(crate) fn compare(
    scenario: &Scenario,
    mut progress: impl FnMut(&Load, &str, &Figures),
) -> Result<Comparison> {
    let mut loads = Vec::new();
    for load in &scenario.load {
        let mut rounds: Vec<Vec<Figures>> = scenario.server.iter().map(|_| Vec::new()).collect();
        for round in 0..scenario.rounds {
            // Each round begins with another server, because the second one may find a warmer machine.
            for turn in 0..scenario.server.len() {
                let at = (turn + round as usize) % scenario.server.len();
                let server = &scenario.server[at];
                let figures = measure(server, load).map_err(|error| format!("{}: {error}", server.name))?;
                progress(load, &server.name, &figures);
                rounds[at].push(figures);
            }
        }
        let base: Vec<_> = rounds[0].iter().map(Summary::of).collect();
        let servers = scenario.server.iter().zip(rounds).map(|(server, rounds)| {
            let summaries: Vec<_> = rounds.iter().map(Summary::of).collect();
            let ratios: Vec<_> = summaries
                .iter()
                .zip(&base)
                .map(|(mine, base)| mine.over(*base))
                .collect();
            ServerResults {
                server: server.name.clone(),
                rounds,
                medians: Summary::median(&summaries),
                ratios: Summary::median(&ratios),
            }
        });
        loads.push(LoadResults {
            load: load.clone(),
            servers: servers.collect(),
        });
    }
    Ok(Comparison { loads })
}

fn measure(server: &Server, load: &Load) -> Result<Figures> {
    let addr = free_addr()?;
    let mut process = Process::start(server, addr, load.passphrase.as_deref())?;
    let target = Target {
        addr,
        publish: server.publish.clone(),
        play: server.play.clone(),
        pid: Some(process.pid()),
    };
    let figures = run(load, &target);
    if process.is_running() {
        figures
    } else {
        Err("the server exited".to_owned())
    }
}

/// A port of this machine that was free a moment ago.
fn free_addr() -> Result<SocketAddr> {
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    probe.map_err(|error| format!("no free port: {error}"))
}

impl Comparison {
    /// The worst ratio of CPU per gigabit of any server but the first.
    pub(crate) fn worst_cpu_ratio(&self) -> Option<f64> {
        let servers = self.loads.iter().flat_map(|load| load.servers.iter().skip(1));
        servers
            .filter_map(|server| server.ratios.cpu_seconds_per_gigabit)
            .max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_numbers() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn ratios_are_there_where_both_have_a_figure() {
        let summary = |cpu, delay| Summary {
            cpu_seconds_per_gigabit: cpu,
            delay_p50: delay,
            ..Summary::default()
        };
        let ratio = summary(Some(1.0), Some(3.0)).over(summary(Some(2.0), None));
        assert_eq!(
            (ratio.cpu_seconds_per_gigabit, ratio.delay_p50),
            (Some(0.5), None)
        );
    }
}
