//! Totals that do not wrap, and differences from one look to the next. Plain data, one for each connection, kept by
//! whoever polls it.

use std::time::Duration;

use super::{Counters, Stats};

/// Adds up successive statistics of one connection into 64-bit totals, and tells what came between two of them.
///
/// libsrt's packet counters have 32 bits: at 5 Mb/s they wrap after a hundred days, on fast links within days. Update
/// at least once while a counter goes half its way.
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

/// What came between two looks at a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta {
    /// The time between both looks; whole milliseconds.
    pub elapsed: Duration,
    /// What was counted meanwhile.
    pub counters: Counters,
}

impl StatsAccumulator {
    /// Nothing yet: the first update gives all since the connection began.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the statistics of now, and tells what came since the last time.
    ///
    /// When time went back, the statistics are of a new connection of the same stream: it is counted from its beginning, on
    /// top of the totals.
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

    /// All that was counted so far.
    #[must_use]
    pub const fn totals(&self) -> &Counters {
        &self.totals
    }
}

impl Delta {
    /// Average rate of sending, headers included; bits in a second. 0 if no time passed.
    #[must_use]
    pub fn send_rate(&self) -> u64 {
        rate(self.counters.sent.bytes, self.elapsed)
    }

    /// Average rate of receiving, headers included; bits in a second. 0 if no time passed.
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
