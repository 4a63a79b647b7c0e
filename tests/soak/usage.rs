//! The gateway's resource usage, and its limits.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

use crate::trouble::Work;
use srt_e2e::innocent::Outcome;

/// Usage of the process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rss_kib,
            descriptors,
            threads,
        } = self;
        write!(
            f,
            "RSS {rss_kib} KiB, {descriptors} descriptors, {threads} threads"
        )
    }
}

impl Sample {
    /// Zeros for a process that has ended.
    pub(crate) fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Self {
            rss_kib: field("VmRSS:"),
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |all| all.count() as u64),
            threads: field("Threads:"),
        }
    }
}

/// Waits until the process uses no more than before, within the tolerance, or until `limit`.
pub(crate) fn settle(process: u32, before: &Sample, limit: Duration) -> Sample {
    let end = Instant::now() + limit;
    loop {
        let now = Sample::of(process);
        if rest_faults(before, &now).is_empty() || Instant::now() >= end {
            return now;
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// The samples in the middle of a third.
fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<_> = samples.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Short-lived descriptors and threads: API connections, callers' threads, a port that is being closed.
const SLACK: u64 = 12;

fn rest_faults(before: &Sample, after: &Sample) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, before, after) in [
        ("descriptors", before.descriptors, after.descriptors),
        ("threads", before.threads, after.threads),
    ] {
        if after > before + SLACK {
            faults.push(format!("{after} {what} after the trouble, {before} before it"));
        }
    }
    faults
}

/// The faults found.
#[derive(Debug, Default)]
pub(crate) struct Verdict(Vec<String>);

impl Verdict {
    pub(crate) fn fail(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// Usage must not grow while the same trouble continues. The first third is the warm-up: caches, pools and libsrt's
    /// buffers reach their size. The medians of the second and the last third are compared, so that a peak does not
    /// count as growth.
    pub(crate) fn judge_growth(&mut self, samples: &[Sample]) {
        let third = samples.len() / 3;
        let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
        let grown = |of: fn(&Sample) -> u64, percent: u64, slack: u64| {
            let (early, late) = (median(middle, of), median(last, of));
            let most = early * percent / 100 + slack;
            (late > most).then(|| format!("{early} -> {late}, at most {most}"))
        };
        let rules = [
            ("RSS in KiB", grown(|sample| sample.rss_kib, 115, 8 << 10)),
            ("descriptors", grown(|sample| sample.descriptors, 100, SLACK)),
            ("threads", grown(|sample| sample.threads, 100, SLACK)),
        ];
        for (what, grown) in rules {
            if let Some(how) = grown {
                self.fail(format!("{what} grow while the load does not: {how}"));
            }
        }
    }

    /// After the trouble, its resources must be released.
    pub(crate) fn judge_rest(&mut self, before: &Sample, after: &Sample) {
        self.0.extend(rest_faults(before, after));
    }

    /// A soak without any activity proves nothing.
    pub(crate) fn judge_work(&mut self, work: &Work) {
        for (what, count) in work.counts() {
            if count == 0 {
                self.fail(format!("no {what}: the trouble did not happen"));
            }
        }
    }

    pub(crate) fn judge_innocent(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            println!("innocent: {} received, {} lost", outcome.received, outcome.lost);
            if let Some(why) = &outcome.broken {
                self.fail(format!("the innocent stream broke: {why}"));
            } else if outcome.lost + outcome.damaged > 0 || outcome.received == 0 {
                self.fail(format!("the innocent stream suffered: {outcome:?}"));
            }
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Vec<String>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
