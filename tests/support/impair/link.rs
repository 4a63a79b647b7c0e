//! Decides what one direction of an impaired path does to each datagram: no sockets, no clock of its own.
//!
//! Used by the proxy's thread. Pure, so that tests run it in virtual time and the same seed gives the same decisions on
//! every machine.

use crate::rng::Rng;
use std::time::{Duration, Instant};

/// The quality of one direction of a path. [`Link::clean`] changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    loss: f64,
    duplicate: f64,
    delay: Duration,
    jitter: Duration,
    reorder: f64,
    hold: Duration,
    rate: Option<u64>,
    queue: Duration,
}

impl Link {
    /// A link that forwards everything at once.
    #[must_use]
    pub fn clean() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            hold: Duration::ZERO,
            rate: None,
            queue: Duration::ZERO,
        }
    }

    /// Loses each datagram with this probability (0.0 to 1.0), independently of the others.
    #[must_use]
    pub fn loss(self, probability: f64) -> Self {
        Self {
            loss: checked(probability),
            ..self
        }
    }

    /// Delivers a second copy of each datagram with this probability (0.0 to 1.0).
    #[must_use]
    pub fn duplicate(self, probability: f64) -> Self {
        Self {
            duplicate: checked(probability),
            ..self
        }
    }

    /// Delays every datagram by this much.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Adds a random delay, uniform from zero to `jitter`. Order is kept: only [`Link::reorder`] breaks it.
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// Holds a datagram back with this probability (0.0 to 1.0) by `hold`, so that later ones overtake it.
    #[must_use]
    pub fn reorder(self, probability: f64, hold: Duration) -> Self {
        Self {
            reorder: checked(probability),
            hold,
            ..self
        }
    }

    /// Forwards at most this many bits of UDP payload per second and client. Datagrams that would wait longer than
    /// `queue` are dropped, as a full router queue drops them.
    #[must_use]
    pub fn rate(self, bits_per_second: u64, queue: Duration) -> Self {
        assert!(bits_per_second > 0, "a link of rate 0 is a cut link: use cut()");
        Self {
            rate: Some(bits_per_second),
            queue,
            ..self
        }
    }
}

fn checked(probability: f64) -> f64 {
    assert!(
        (0.0..=1.0).contains(&probability),
        "a probability is 0.0 to 1.0, this is {probability}"
    );
    probability
}

/// The decision about one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Lost at random.
    Lost,
    /// Dropped because the queue before the rate limit is full.
    Overflowed,
    /// Forwarded at `due`, and a second time directly after if `copies` is two.
    Delivered { due: Instant, copies: u32, held: Held },
}

/// Whether a datagram is held back so that later ones overtake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    InOrder,
    Back,
}

/// One client's datagrams in one direction: its random numbers, its position in the queue, its order.
#[derive(Debug)]
pub(super) struct Lane {
    rng: Rng,
    line_free: Option<Instant>,
    last_due: Option<Instant>,
}

impl Lane {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            rng,
            line_free: None,
            last_due: None,
        }
    }

    /// Decides about the next datagram of this lane, of `length` bytes, that arrived at `now`.
    pub(super) fn decide(&mut self, link: &Link, length: usize, now: Instant) -> Fate {
        // Four numbers for every datagram, needed or not: a change of one setting leaves the decisions of the others
        // unchanged.
        let [lost, duplicated, jitter, reordered] = std::array::from_fn(|_| self.rng.unit());
        if lost < link.loss {
            return Fate::Lost;
        }
        let Some(departs) = self.leave_queue(link, length, now) else {
            return Fate::Overflowed;
        };
        let due = departs + link.delay + link.jitter.mul_f64(jitter);
        let due = self.last_due.map_or(due, |last| due.max(last));
        self.last_due = Some(due);
        let copies = if duplicated < link.duplicate { 2 } else { 1 };
        if reordered < link.reorder {
            Fate::Delivered {
                due: due + link.hold,
                copies,
                held: Held::Back,
            }
        } else {
            Fate::Delivered {
                due,
                copies,
                held: Held::InOrder,
            }
        }
    }

    /// The time at which the last bit leaves the rate limit, or `None` if the queue before it is full.
    fn leave_queue(&mut self, link: &Link, length: usize, now: Instant) -> Option<Instant> {
        let Some(rate) = link.rate else {
            return Some(now);
        };
        let start = self.line_free.map_or(now, |free| free.max(now));
        if start - now > link.queue {
            return None;
        }
        let end = start + Duration::from_secs_f64(length as f64 * 8.0 / rate as f64);
        self.line_free = Some(end);
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Held, Lane, Link};
    use crate::rng::Rng;
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);

    /// The fates of `count` datagrams of 1000 bytes, one per millisecond.
    fn run(link: &Link, seed: u64, count: u32) -> (Instant, Vec<Fate>) {
        let start = Instant::now();
        let mut lane = Lane::new(Rng::new(seed));
        (
            start,
            (0..count)
                .map(|n| lane.decide(link, 1000, start + MS * n))
                .collect(),
        )
    }

    fn dues(fates: &[Fate]) -> Vec<Instant> {
        fates
            .iter()
            .filter_map(|fate| {
                if let Fate::Delivered { due, .. } = fate {
                    Some(*due)
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn same_seed_same_decisions() {
        let link = Link::clean()
            .loss(0.1)
            .duplicate(0.1)
            .jitter(9 * MS)
            .reorder(0.1, 20 * MS);
        let relative = |seed| {
            let (start, fates) = run(&link, seed, 1000);
            let dues: Vec<Duration> = dues(&fates).into_iter().map(|due| due - start).collect();
            (dues, fates.into_iter().filter(|fate| *fate == Fate::Lost).count())
        };
        assert_eq!(relative(5), relative(5));
        assert_ne!(relative(5), relative(6));
    }

    #[test]
    fn loss_ratio_is_what_was_asked() {
        let (_, fates) = run(&Link::clean().loss(0.02), 1, 100_000);
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((1800..2200).contains(&lost), "{lost} of 100000 lost");
    }

    #[test]
    fn loss_decisions_do_not_depend_on_other_knobs() {
        let lost = |link| {
            let fates = run(&link, 3, 1000).1;
            fates.iter().map(|fate| *fate == Fate::Lost).collect::<Vec<_>>()
        };
        assert_eq!(
            lost(Link::clean().loss(0.1)),
            lost(Link::clean().loss(0.1).jitter(5 * MS).duplicate(0.5))
        );
    }

    #[test]
    fn jitter_stays_in_bounds_and_keeps_order() {
        let (start, fates) = run(&Link::clean().delay(30 * MS).jitter(10 * MS), 1, 1000);
        let dues = dues(&fates);
        assert!(dues.is_sorted());
        for (n, due) in (0_u32..).zip(&dues) {
            let delay = *due - (start + MS * n);
            assert!(
                delay >= 30 * MS && delay <= 40 * MS,
                "datagram {n} delayed by {delay:?}"
            );
        }
    }

    #[test]
    fn held_datagrams_are_overtaken() {
        let (_, fates) = run(&Link::clean().reorder(0.1, 5 * MS), 1, 10_000);
        let held = fates
            .iter()
            .filter(|fate| matches!(fate, Fate::Delivered { held: Held::Back, .. }))
            .count();
        let overtaken = dues(&fates).windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((900..1100).contains(&held), "{held} of 10000 held back");
        assert!(
            overtaken > held / 2,
            "{overtaken} overtakings by {held} held datagrams"
        );
    }

    #[test]
    fn duplicates_are_counted_as_two_copies() {
        let (_, fates) = run(&Link::clean().duplicate(0.25), 1, 10_000);
        let twice = fates
            .iter()
            .filter(|fate| matches!(fate, Fate::Delivered { copies: 2, .. }))
            .count();
        assert!((2300..2700).contains(&twice), "{twice} of 10000 duplicated");
    }

    #[test]
    fn rate_limit_paces_and_then_overflows() {
        // 1000 bytes each millisecond are 8 Mb/s into a 4 Mb/s link with 100 ms of queue.
        let (start, fates) = run(&Link::clean().rate(4_000_000, 100 * MS), 1, 1000);
        let dues = dues(&fates);
        assert!(
            dues.windows(2).all(|pair| pair[1] - pair[0] >= 2 * MS),
            "faster than the link"
        );
        assert!(
            (500..560).contains(&dues.len()),
            "{} of 1000 passed at half the rate",
            dues.len()
        );
        assert!(
            dues.iter().all(|due| *due <= start + 1105 * MS),
            "queued for longer than the queue"
        );
        assert!(fates.contains(&Fate::Overflowed));
    }

    #[test]
    #[should_panic(expected = "0.0 to 1.0")]
    fn percent_in_place_of_a_probability_is_refused() {
        assert_eq!(Link::clean().loss(2.0), Link::clean());
    }
}
