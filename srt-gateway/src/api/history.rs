//! The history of each stream: a point per second for ten minutes, and the mean and maximum of each ten seconds for a
//! day.
//!
//! Bounded: a value takes two bytes (the upper half of a float: three digits, any magnitude), so a stream needs 13 kB
//! for the ten minutes and at most 380 kB for the day, allocated hour by hour. Unused streams take nothing. Plain data;
//! written by the sampler's thread.

use std::collections::{BTreeMap, VecDeque};

use super::model::{self, Step, StreamFigures};

/// The number of figures in a point, in the order of [`COLUMNS`].
const WIDTH: usize = 10;

/// Their names in the API.
const COLUMNS: [&str; WIDTH] = [
    "bitrate_bps",
    "bitrate_out_bps",
    "rtt_ms",
    "loss_ratio",
    "retransmitted",
    "dropped",
    "buffer_ms",
    "viewers",
    "viewers_loss_ratio",
    "viewers_dropped",
];

const SECONDS: usize = 600;
const TENS: usize = 8640;

/// Rows per allocation: one hour.
const GROWTH: usize = 360;

type Row = [u16; WIDTH];
type Values = [Option<f32>; WIDTH];

/// Rows at equal intervals, oldest first.
#[derive(Debug)]
struct Tier<R> {
    rows: VecDeque<R>,
    limit: usize,
    /// The step number after the last row.
    end: u64,
}

impl<R: Clone> Tier<R> {
    fn new(limit: usize) -> Self {
        Self {
            rows: VecDeque::new(),
            limit,
            end: 0,
        }
    }

    /// Stores `row` at `step`; skipped steps are filled with `gap`. Older steps are ignored.
    fn push(&mut self, step: u64, row: R, gap: &R) {
        if step < self.end {
            return;
        }
        let missing = usize::try_from(step - self.end).unwrap_or(usize::MAX);
        if self.rows.is_empty() || missing >= self.limit {
            self.rows.clear();
        } else {
            (0..missing).for_each(|_| self.add(gap.clone()));
        }
        self.add(row);
        self.end = step + 1;
    }

    fn add(&mut self, row: R) {
        if self.rows.len() == self.limit {
            self.rows.pop_front();
        }
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(GROWTH.min(self.limit - self.rows.len()));
        }
        self.rows.push_back(row);
    }
}

/// The history of one stream.
#[derive(Debug)]
pub(crate) struct History {
    seconds: Tier<Row>,
    tens: Tier<[Row; 2]>,
    bucket: Bucket,
}

/// The current ten seconds.
#[derive(Debug, Default)]
struct Bucket {
    step: u64,
    sums: [f64; WIDTH],
    counts: [u32; WIDTH],
    max: Values,
}

impl Bucket {
    fn add(&mut self, values: &Values) {
        for (at, value) in values.iter().enumerate() {
            let Some(value) = *value else { continue };
            self.sums[at] += f64::from(value);
            self.counts[at] += 1;
            self.max[at] = Some(self.max[at].map_or(value, |max| max.max(value)));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a mean of floats")]
    fn rows(&self) -> [Row; 2] {
        let mean =
            |at: usize| (self.counts[at] > 0).then(|| (self.sums[at] / f64::from(self.counts[at])) as f32);
        [
            std::array::from_fn(|at| pack(mean(at))),
            std::array::from_fn(|at| pack(self.max[at])),
        ]
    }
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            seconds: Tier::new(SECONDS),
            tens: Tier::new(TENS),
            bucket: Bucket::default(),
        }
    }

    /// Adds the figures of a second, given as Unix time.
    pub(crate) fn add(&mut self, second: u64, figures: &StreamFigures, viewers: u32) {
        let values = values(figures, viewers);
        let gap = [pack(None); WIDTH];
        self.seconds.push(second, values.map(pack), &gap);
        let step = second / 10;
        if step != self.bucket.step {
            if self.bucket.step != 0 {
                self.tens.push(self.bucket.step, self.bucket.rows(), &[gap; 2]);
            }
            self.bucket = Bucket {
                step,
                ..Bucket::default()
            };
        }
        self.bucket.add(&values);
    }

    /// Unix time of the last point.
    pub(crate) fn last(&self) -> u64 {
        self.seconds.end.saturating_sub(1)
    }

    /// The newest points of one figure, at most `most`; None: there is no such figure.
    pub(crate) fn column(&self, figure: &str, step: Step, most: usize) -> Option<model::Past> {
        let at = COLUMNS.iter().position(|name| *name == figure)?;
        let (seconds, end, held): (u64, u64, usize) = match step {
            Step::Second => (1, self.seconds.end, self.seconds.rows.len()),
            Step::TenSeconds => (10, self.tens.end, self.tens.rows.len()),
        };
        let points = held.min(most);
        let values = match step {
            Step::Second => {
                let rows = self.seconds.rows.iter().skip(held - points);
                rows.map(|row| unpack(row[at])).collect()
            }
            Step::TenSeconds => {
                let rows = self.tens.rows.iter().skip(held - points);
                rows.map(|row| unpack(row[0][at])).collect()
            }
        };
        Some(model::Past {
            start: (end - points as u64) * seconds,
            values,
        })
    }

    /// The newest points, at most `most`.
    pub(crate) fn shown(&self, step: Step, most: Option<usize>) -> model::History {
        let (seconds, end, rows): (u64, u64, usize) = match step {
            Step::Second => (1, self.seconds.end, self.seconds.rows.len()),
            Step::TenSeconds => (10, self.tens.end, self.tens.rows.len()),
        };
        let points = rows.min(most.unwrap_or(usize::MAX));
        let skip = rows - points;
        let (mut mean, mut max) = (BTreeMap::new(), BTreeMap::new());
        for (at, name) in COLUMNS.into_iter().enumerate() {
            match step {
                Step::Second => {
                    let column = self.seconds.rows.iter().skip(skip);
                    mean.insert(name, column.map(|row| unpack(row[at])).collect());
                }
                Step::TenSeconds => {
                    let column = |of: usize| {
                        let rows = self.tens.rows.iter().skip(skip);
                        rows.map(|row| unpack(row[of][at])).collect::<Vec<_>>()
                    };
                    mean.insert(name, column(0));
                    max.insert(name, column(1));
                }
            }
        }
        model::History {
            step_seconds: seconds,
            start: (end - points as u64) * seconds,
            points,
            mean,
            max,
        }
    }

    /// The memory used by the points, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.seconds.rows.capacity() * size_of::<Row>() + self.tens.rows.capacity() * size_of::<[Row; 2]>()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "three digits are kept"
)]
fn values(figures: &StreamFigures, viewers: u32) -> Values {
    let count = |n: u64| Some(n as f32);
    let link = figures.link.as_ref();
    let theirs = figures.viewers_link.as_ref();
    [
        count(figures.bitrate_bps),
        count(figures.bitrate_out_bps),
        link.map(|link| link.rtt_ms as f32),
        link.map(|link| link.loss_ratio as f32),
        link.map(|link| link.retransmitted as f32),
        link.map(|link| link.dropped as f32),
        link.map(|link| link.buffer_ms as f32),
        Some(viewers as f32),
        theirs.map(|link| link.loss_ratio as f32),
        theirs.map(|link| link.dropped as f32),
    ]
}

/// The upper half of a float, rounded.
fn pack(value: Option<f32>) -> u16 {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return (f32::NAN.to_bits() >> 16) as u16;
    };
    // Only values near the largest float would round up to infinity, and no figure is that large.
    (value.to_bits().saturating_add(0x8000) >> 16) as u16
}

fn unpack(packed: u16) -> Option<f32> {
    let value = f32::from_bits(u32::from(packed) << 16);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figures(bitrate: u64) -> StreamFigures {
        StreamFigures {
            bitrate_bps: bitrate,
            ..StreamFigures::default()
        }
    }

    #[test]
    fn gaps_are_gaps_and_points_follow_each_other() {
        let mut history = History::new();
        for second in [1000, 1001, 1004] {
            history.add(second, &figures(second), 1);
        }
        let shown = history.shown(Step::Second, None);
        assert_eq!((shown.start, shown.points), (1000, 5));
        let bitrate = &shown.mean["bitrate_bps"];
        assert_eq!(bitrate[2..4], [None, None]);
        assert_eq!(bitrate[4], Some(1004.0));
        assert_eq!(shown.mean["rtt_ms"], [None; 5]);
        assert_eq!(history.shown(Step::Second, Some(2)).start, 1003);
        let column = history.column("bitrate_bps", Step::Second, 3).unwrap();
        assert_eq!(
            (column.start, column.values),
            (1002, vec![None, None, Some(1004.0)])
        );
        assert!(history.column("height", Step::Second, 3).is_none());
    }

    #[test]
    fn ten_seconds_have_their_mean_and_maximum() {
        let mut history = History::new();
        for second in 1000..1021 {
            history.add(second, &figures(if second % 10 == 3 { 1000 } else { 0 }), 4);
        }
        let shown = history.shown(Step::TenSeconds, None);
        assert_eq!((shown.start, shown.points, shown.step_seconds), (1000, 2, 10));
        assert_eq!(shown.mean["bitrate_bps"], [Some(100.0), Some(100.0)]);
        assert_eq!(shown.max["bitrate_bps"], [Some(1000.0), Some(1000.0)]);
        assert_eq!(shown.max["viewers"], [Some(4.0), Some(4.0)]);
        let column = history.column("bitrate_bps", Step::TenSeconds, 1).unwrap();
        assert_eq!((column.start, column.values), (1010, vec![Some(100.0)]));
    }

    #[test]
    fn a_day_and_more_stays_within_its_memory() {
        let mut history = History::new();
        for second in 1_000_000..1_000_000 + 100_000 {
            history.add(second, &figures(second), 0);
        }
        assert_eq!(history.shown(Step::Second, None).points, SECONDS);
        assert_eq!(history.shown(Step::TenSeconds, None).points, TENS);
        assert!(history.bytes() <= 360_000, "{}", history.bytes());
        history.add(9_000_000, &figures(1), 0);
        assert_eq!(history.shown(Step::Second, None).points, 1);
    }

    proptest! {
        #[test]
        fn two_bytes_keep_three_digits(value in 0.001f32..1e12) {
            let kept = unpack(pack(Some(value))).unwrap();
            prop_assert!((kept - value).abs() <= value * 0.004, "{value} {kept}");
        }
    }
}
