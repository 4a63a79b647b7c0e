//! Decides whether an input or output connects, waits or stays idle. Pure: functions of `now`.

use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// A connection that carried data for this long was a good one: when it ends, the next attempt starts at once. A peer
/// that accepts calls and drops them, or sends nothing, causes a back-off.
const STABLE: Duration = Duration::from_secs(1);

/// The connection of one input or output.
///
/// ```text
///           wanted                    connected
///   Idle ───────────▶ Connecting ─────────────────▶ Live
///    ▲                  ▲  │ failed                   │ ended
///    │        time over │  ▼                          │   1 s of data: no wait
///    ├──────────────  BackingOff ◀────────────────────┘   less: like a failure
///    │ no longer wanted (from any state but Failed)
///                                     impossible
///   Failed ◀──────────────────────────────────────── Connecting: no attempt can ever work
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Link {
    state: LinkState,
    backoff: Backoff,
}

/// The state of a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Idle,
    Connecting,
    Live,
    BackingOff { until: Instant },
    Failed,
}

/// The desired state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    Connected,
    Disconnected,
}

/// The action to take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// Start an attempt; the state is already [`LinkState::Connecting`].
    Connect,
    /// Cancel the attempt or close the connection; the state is already [`LinkState::Idle`].
    HangUp,
}

impl Link {
    /// `seed` should differ between endpoints.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: LinkState::Idle,
            backoff: Backoff::new(seed),
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    /// Returns the action to take at `now`.
    pub(crate) fn step(&mut self, wanted: Desired, now: Instant) -> Step {
        match (wanted, self.state) {
            (_, LinkState::Failed)
            | (Desired::Disconnected, LinkState::Idle)
            | (Desired::Connected, LinkState::Connecting | LinkState::Live) => Step::Nothing,
            (Desired::Connected, LinkState::BackingOff { until }) if now < until => Step::Nothing,
            (Desired::Connected, LinkState::Idle | LinkState::BackingOff { .. }) => {
                self.state = LinkState::Connecting;
                Step::Connect
            }
            (Desired::Disconnected, LinkState::BackingOff { .. }) => {
                self.rest();
                Step::Nothing
            }
            (Desired::Disconnected, LinkState::Connecting | LinkState::Live) => {
                self.rest();
                Step::HangUp
            }
        }
    }

    fn rest(&mut self) {
        self.state = LinkState::Idle;
        self.backoff.reset();
    }

    pub(crate) fn connected(&mut self) {
        self.state = LinkState::Live;
    }

    /// Records a failed attempt; returns the time until the next one.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.backoff.failed();
        self.state = LinkState::BackingOff { until: now + wait };
        wait
    }

    /// Records that the connection ended by itself after data had flowed for this long; returns the time until the next
    /// attempt. Has no effect after a hang-up.
    pub(crate) fn ended(&mut self, flowed: Duration, now: Instant) -> Option<Duration> {
        if self.state != LinkState::Live {
            return None;
        }
        if flowed < STABLE {
            return Some(self.failed(now));
        }
        self.backoff.reset();
        self.state = LinkState::BackingOff { until: now };
        Some(Duration::ZERO)
    }

    /// Records the end of a connection whose listener is still open: there is no peer to back off from.
    pub(crate) fn listens_again(&mut self) {
        self.backoff.reset();
        self.state = LinkState::Connecting;
    }

    /// Stops all attempts: none can succeed.
    pub(crate) fn give_up(&mut self) {
        self.state = LinkState::Failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// A link that is live since `now`.
    fn live(now: Instant) -> Link {
        let mut link = Link::new(1);
        assert_eq!(link.step(Desired::Connected, now), Step::Connect);
        link.connected();
        link
    }

    #[test]
    fn rests_until_it_is_wanted() {
        let now = Instant::now();
        let mut link = Link::new(1);
        assert_eq!(link.step(Desired::Disconnected, now), Step::Nothing);
        assert_eq!(link.step(Desired::Connected, now), Step::Connect);
        assert_eq!(link.step(Desired::Connected, now), Step::Nothing);
        assert_eq!(link.step(Desired::Disconnected, now), Step::HangUp);
        assert_eq!(link.state(), LinkState::Idle);
    }

    #[test]
    fn backs_off_longer_with_each_failure() {
        let mut now = Instant::now();
        let mut link = Link::new(1);
        let mut last = Duration::ZERO;
        assert_eq!(link.step(Desired::Connected, now), Step::Connect);
        for _ in 0..4 {
            let wait = link.failed(now);
            assert!(wait > last);
            assert_eq!(
                link.step(Desired::Connected, now + wait - Duration::from_millis(1)),
                Step::Nothing
            );
            now += wait;
            assert_eq!(link.step(Desired::Connected, now), Step::Connect);
            last = wait;
        }
    }

    #[test]
    fn a_good_connection_is_made_again_at_once() {
        let now = Instant::now();
        let mut link = live(now);
        let later = now + seconds(60);
        assert_eq!(link.ended(seconds(60), later), Some(Duration::ZERO));
        assert_eq!(link.step(Desired::Connected, later), Step::Connect);
        // Only once: when the peer is gone, the back-off starts again from its first step.
        assert!(link.failed(later) < seconds(1));
    }

    #[test]
    fn a_peer_that_takes_calls_and_brings_nothing_is_backed_off_from() {
        // The peer drops the connection at once, or after its own timeout.
        for lasts in [Duration::from_millis(100), seconds(10)] {
            let mut now = Instant::now();
            let mut link = live(now);
            let mut last = Duration::ZERO;
            for _ in 0..4 {
                now += lasts;
                let wait = link.ended(Duration::ZERO, now).expect("it was live");
                assert!(wait > last);
                now += wait;
                assert_eq!(link.step(Desired::Connected, now), Step::Connect);
                link.connected();
                last = wait;
            }
        }
    }

    #[test]
    fn what_was_hung_up_stays_so() {
        let now = Instant::now();
        let mut link = live(now);
        assert_eq!(link.step(Desired::Disconnected, now), Step::HangUp);
        assert_eq!(link.ended(seconds(5), now + seconds(5)), None);
        assert_eq!(link.state(), LinkState::Idle);
    }

    #[test]
    fn what_cannot_work_is_not_tried_again() {
        let now = Instant::now();
        let mut link = Link::new(1);
        assert_eq!(link.step(Desired::Connected, now), Step::Connect);
        link.give_up();
        assert_eq!(link.step(Desired::Connected, now + seconds(3600)), Step::Nothing);
        assert_eq!(link.step(Desired::Disconnected, now), Step::Nothing);
    }
}
