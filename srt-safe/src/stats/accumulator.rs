//! Totals that do not wrap, and differences between two updates. Plain data, one per connection, kept by the polling
//! code.

use std::time::Duration;

use super::{Counters, Stats};

/// Adds up successive statistics of one connection into 64-bit totals, and returns the differences.
///
/// libsrt's packet counters have 32 bits: at 5 Mb/s they wrap after a hundred days, on fast links within days. Update
/// at least once per half wrap of a counter.
///
/// ```no_run
/// # use srt_safe::{Result, SrtSocket, StatsAccumulator};
/// # fn poll(socket: &SrtSocket, accumulator: &mut StatsAccumulator) -> Result<()> {
/// let delta = accumulator.update(&socket.stats()?);
/// println!("lost {} of {}", delta.counters.receive_dropped.packets, delta.counters.received_unique.packets);
/// println!("{} packets in all", accumulator.totals().received_unique.packets);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct StatsAccumulator {
    last: Counters,
    last_elapsed: Duration,
    totals: Counters,
}

/// The difference between two updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta {
    /// The time between both updates, in whole milliseconds.
    pub elapsed: Duration,
    /// The counters in between.
    pub counters: Counters,
}

impl StatsAccumulator {
    /// Starts empty: the first update returns everything since the connection was opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Processes the current statistics, and returns the difference from the last update.
    ///
    /// If time went back, the statistics belong to a new connection of the same stream: it is counted from its start,
    /// on top of the totals.
    pub fn update(&mut self, stats: &Stats) -> Delta {
        if stats.elapsed < self.last_elapsed {
            self.last = Counters::default();
            self.last_elapsed = Duration::ZERO;
        }
        let delta = Delta {
            elapsed: stats.elapsed.saturating_sub(self.last_elapsed),
            counters: stats.total.since(&self.last),
        };
        self.totals.add(&delta.counters);
        self.last.clone_from(&stats.total);
        self.last_elapsed = stats.elapsed;
        delta
    }

    /// The totals so far.
    #[must_use]
    pub const fn totals(&self) -> &Counters {
        &self.totals
    }
}

impl Delta {
    /// Average sending rate, including headers, in bits per second. 0 if no time passed.
    #[must_use]
    pub fn send_rate(&self) -> u64 {
        rate(self.counters.sent.bytes, self.elapsed)
    }

    /// Average receiving rate, including headers, in bits per second. 0 if no time passed.
    #[must_use]
    pub fn receive_rate(&self) -> u64 {
        rate(self.counters.received.bytes, self.elapsed)
    }
}

fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let bits_and_millis = u128::from(bytes) * 8 * 1000;
    bits_and_millis
        .checked_div(elapsed.as_millis())
        .map_or(0, |rate| rate.try_into().unwrap_or(u64::MAX))
}
