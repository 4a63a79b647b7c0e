//! Viewers whose path is slower than their stream. What cannot be sent waits in libsrt's send buffer, and libsrt drops packets
//! from there once they are older than the viewer's latency: from then on every picture is damaged. The gateway therefore stops
//! feeding such a viewer, lets the buffer drain, and resumes at the next keyframe.
//!
//! Pure: reads no clock and touches no socket.

use std::time::{Duration, Instant};

use srt_safe::SendState;

use crate::data::Seq;

/// libsrt drops no packet younger than this, whatever the latency (`SRT_TLPKTDROP_MINTHRESHOLD_MS`).
const MIN_DROP_AGE: Duration = Duration::from_secs(1);

/// A buffer that has not become shorter for this long will not drain by itself: a receiver whose buffer was almost full
/// does not announce free space, and libsrt discards late packets only when something new is sent.
const STUCK: Duration = Duration::from_secs(2);

/// The longest time that the buffer of a held viewer may take to drain.
const MAX_DRAIN: Duration = Duration::from_secs(15);

/// How long a drained viewer waits for a keyframe: a stream may have sent one and then never another.
const MAX_KEYFRAME_WAIT: Duration = Duration::from_secs(5);

/// The contents of a send buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// Unsent packets; those in flight do not count.
    packets: u32,
    /// How much time of the stream they cover.
    span: Duration,
    /// Packets that libsrt has dropped since the connection was opened.
    dropped: u64,
    /// The viewer's latency.
    latency: Duration,
}

impl Queue {
    pub(super) fn of(state: SendState) -> Self {
        Self {
            packets: state.unsent,
            span: state.oldest * state.unsent / state.packets.max(1),
            dropped: state.dropped,
            latency: state.latency,
        }
    }

    /// Whether half of what libsrt keeps is waiting.
    fn is_long(&self) -> bool {
        self.span * 2 >= self.latency.max(MIN_DROP_AGE)
    }

    /// Whether the queue can become long within the next second.
    fn is_growing(&self) -> bool {
        self.span * 10 >= self.latency.max(MIN_DROP_AGE)
    }
}

/// The action for the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Continue.
    Keep,
    /// Stop sending.
    Hold,
    /// Send again, from this position on.
    Resume(Seq),
}

/// ```text
///              queue grows            dropped, or long
///    Clear ◀──────────────▶ Growing ──────────────────▶ Held
///              queue is short   ▲                        │
///                               └────────────────────────┘
///                 drained or given up, and a keyframe has come or was waited for in vain
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Clear,
    /// The queue grows: observe more often.
    Growing,
    Held(Hold),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    since: Instant,
    /// The newest start point at the last observation.
    start: Seq,
    /// The number of packets at the last observation.
    packets: u32,
    /// When the number of packets last decreased.
    progress: Instant,
    /// Since when the viewer has only been waiting for a keyframe.
    ready: Option<Instant>,
}

impl Hold {
    fn new(queue: Queue, start: Seq, now: Instant) -> Self {
        Self {
            since: now,
            start,
            packets: queue.packets,
            progress: now,
            ready: None,
        }
    }

    /// Returns where the viewer resumes, if it does.
    fn observe(&mut self, queue: Queue, start: Seq, head: Seq, now: Instant) -> Option<Seq> {
        if queue.packets < self.packets {
            self.progress = now;
        }
        self.packets = queue.packets;
        let drains = now - self.progress < STUCK && now - self.since < MAX_DRAIN;
        if queue.packets > 0 && drains {
            self.ready = None;
        } else {
            self.ready.get_or_insert(now);
        }
        // An older keyframe would bring everything since then with it, and the queue would be long again.
        let is_fresh = start > self.start || start == head;
        self.start = start;
        let ready = self.ready?;
        if is_fresh {
            return Some(start);
        }
        (now - ready >= MAX_KEYFRAME_WAIT).then_some(head)
    }
}

/// How far one viewer is behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backlog {
    phase: Phase,
    dropped: u64,
}

impl Backlog {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Clear,
            dropped: 0,
        }
    }

    /// Whether it must be observed several times a second.
    pub(super) fn is_urgent(&self) -> bool {
        self.phase != Phase::Clear
    }

    /// `start` is the newest start point; `head` is the live edge, which equals `start` if the stream has had no
    /// keyframe.
    pub(super) fn observe(&mut self, queue: Queue, start: Seq, head: Seq, now: Instant) -> Step {
        // If nothing is queued, the rate was not the cause: packets were lost and not recovered in time.
        let has_dropped = queue.dropped > self.dropped && queue.packets > 0;
        self.dropped = queue.dropped;
        if let Phase::Held(hold) = &mut self.phase {
            let Some(position) = hold.observe(queue, start, head, now) else {
                return Step::Keep;
            };
            self.phase = Phase::Growing;
            return Step::Resume(position);
        }
        // A receiver may have asked its sender to drop nothing (tlpktdrop = false), and libsrt does not report that.
        // Until libsrt has dropped something, a long queue may be what that viewer wants.
        if has_dropped || (queue.dropped > 0 && queue.is_long()) {
            self.phase = Phase::Held(Hold::new(queue, start, now));
            return Step::Hold;
        }
        self.phase = if queue.is_growing() {
            Phase::Growing
        } else {
            Phase::Clear
        };
        Step::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    /// A viewer with the clock and the stream that it is tested with.
    struct Observed {
        backlog: Backlog,
        now: Instant,
        dropped: u64,
        latency: Duration,
    }

    impl Observed {
        fn new() -> Self {
            Self {
                backlog: Backlog::new(),
                now: Instant::now(),
                dropped: 0,
                latency: Duration::from_millis(120),
            }
        }

        /// A held viewer: libsrt has dropped packets, 300 are waiting, and the last keyframe was at `start`.
        fn held(start: u64) -> Self {
            let mut viewer = Self::new();
            viewer.dropped = 1;
            assert_eq!(viewer.observe((300, 900), start, start + 40), Step::Hold);
            viewer
        }

        /// Observes `queue` (packets and milliseconds) a quarter of a second later.
        fn observe(&mut self, (packets, millis): (u32, u64), start: u64, head: u64) -> Step {
            self.now += TICK;
            let queue = Queue {
                packets,
                span: Duration::from_millis(millis),
                dropped: self.dropped,
                latency: self.latency,
            };
            self.backlog.observe(queue, at(start), at(head), self.now)
        }

        /// Observes a stream without new keyframes until the viewer resumes; returns the position and the time it took.
        fn resumes(&mut self, start: u64, mut queue: impl FnMut(u32) -> u32) -> (u64, Duration) {
            let begin = self.now;
            for round in 0..1000 {
                let head = start + 100 + u64::from(round);
                match self.observe((queue(round), 900), start, head) {
                    Step::Keep => {}
                    step => {
                        assert_eq!(step, Step::Resume(at(head)));
                        return (head, self.now - begin);
                    }
                }
            }
            panic!("held for good");
        }
    }

    fn at(position: u64) -> Seq {
        Seq::default().ahead(position)
    }

    #[test]
    fn viewer_that_keeps_up_is_left_alone() {
        let mut viewer = Observed::new();
        viewer.dropped = 1;
        viewer.observe((0, 0), 0, 5);
        for second in 0..100 {
            assert_eq!(viewer.observe((40, 90), second, second + 5), Step::Keep);
            assert!(!viewer.backlog.is_urgent());
        }
    }

    #[test]
    fn held_viewer_resumes_at_the_next_keyframe_once_all_is_sent() {
        let mut viewer = Observed::new();
        assert_eq!(viewer.observe((100, 200), 10, 50), Step::Keep);
        assert!(viewer.backlog.is_urgent());
        viewer.dropped = 3;
        assert_eq!(viewer.observe((300, 500), 10, 90), Step::Hold);
        // A keyframe that arrives while packets wait is too old once they are sent.
        assert_eq!(viewer.observe((200, 400), 100, 120), Step::Keep);
        assert_eq!(viewer.observe((0, 0), 100, 150), Step::Keep);
        assert_eq!(viewer.observe((0, 0), 190, 195), Step::Resume(at(190)));
        assert_eq!(viewer.observe((0, 0), 190, 260), Step::Keep);
        assert!(!viewer.backlog.is_urgent());
    }

    #[test]
    fn viewer_is_held_before_libsrt_drops_again() {
        let mut viewer = Observed::held(0);
        assert_eq!(viewer.observe((0, 0), 50, 55), Step::Resume(at(50)));
        assert_eq!(viewer.observe((90, 300), 50, 150), Step::Keep);
        assert_eq!(viewer.observe((190, 500), 50, 190), Step::Hold);
    }

    #[test]
    fn stream_without_any_keyframe_resumes_at_the_live_edge() {
        let mut viewer = Observed::new();
        viewer.dropped = 1;
        assert_eq!(viewer.observe((300, 900), 90, 90), Step::Hold);
        assert_eq!(viewer.observe((1, 1), 120, 120), Step::Keep);
        assert_eq!(viewer.observe((0, 0), 150, 150), Step::Resume(at(150)));
    }

    #[test]
    fn viewer_does_not_wait_for_a_keyframe_for_good() {
        let (_, waited) = Observed::held(50).resumes(50, |_| 0);
        assert_eq!(waited, MAX_KEYFRAME_WAIT + TICK);
    }

    #[test]
    fn queue_that_does_not_move_holds_nobody_for_good() {
        let (_, waited) = Observed::held(50).resumes(50, |_| 300);
        assert_eq!(waited, STUCK + MAX_KEYFRAME_WAIT);
        // With keyframes the hold ends sooner.
        let mut viewer = Observed::held(50);
        let mut start = 50;
        let begin = viewer.now;
        while viewer.observe((300, 900), start, start + 5) == Step::Keep {
            start += 10;
        }
        assert_eq!(viewer.now - begin, STUCK);
    }

    #[test]
    fn peer_that_acknowledges_one_packet_at_a_time_is_held_for_a_while_only() {
        let (_, waited) = Observed::held(50).resumes(50, |round| 10_000 - round);
        assert_eq!(waited, MAX_DRAIN + MAX_KEYFRAME_WAIT);
        // Nor does a queue that grows and shrinks.
        let (_, waited) = Observed::held(50).resumes(50, |round| 300 - round % 2);
        assert_eq!(waited, MAX_DRAIN + MAX_KEYFRAME_WAIT);
    }

    #[test]
    fn viewer_that_stays_stuck_is_tried_again_and_again() {
        let mut viewer = Observed::held(0);
        for round in 1..50 {
            let start = round * 1_000;
            viewer.resumes(start - 1_000, |_| 300);
            viewer.dropped += 20;
            assert_eq!(viewer.observe((300, 900), start, start + 900), Step::Hold);
        }
    }

    #[test]
    fn long_latency_allows_a_long_queue_and_a_drop_none() {
        let mut viewer = Observed::new();
        viewer.latency = Duration::from_secs(8);
        assert_eq!(viewer.observe((900, 3_000), 0, 9), Step::Keep);
        viewer.dropped = 1;
        assert_eq!(viewer.observe((900, 3_000), 0, 9), Step::Hold);
    }

    #[test]
    fn loss_that_is_not_recovered_in_time_holds_nobody() {
        let mut viewer = Observed::new();
        for dropped in 0..100 {
            viewer.dropped = dropped;
            assert_eq!(viewer.observe((0, 0), dropped, dropped + 5), Step::Keep);
        }
    }

    #[test]
    fn viewer_that_wants_everything_is_not_held() {
        let mut viewer = Observed::new();
        for second in 0..100 {
            assert_eq!(viewer.observe((9_000, 30_000), second, second + 5), Step::Keep);
        }
    }
}
