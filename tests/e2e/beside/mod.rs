//! The reference stream during each attack: a paced stream with two viewers loses nothing, and its packets arrive as
//! early as without the attack. The gateway is a separate process, in a network where every address can be forged.
//!
//! `cargo test --test e2e beside -- --nocapture` prints the numbers.

mod attacks;
mod ground;

use attacks::{ATTACKS, ATTACKS_WITH_HOOK};
use ground::{Attack, Ground};
use srt_e2e::innocent::Outcome;
use srt_e2e::namespace::Namespace;
use std::time::Duration;

/// How much later 99 of 100 packets may be than in the quiet run.
const ADDED: Duration = Duration::from_millis(20);

/// The additional time that `/healthz` may take, compared with the quiet run.
const PROBE: Duration = Duration::from_millis(100);

/// On a loaded machine a thread may be late regardless of the gateway. A gateway that an attack harms fails each time.
const TRIES: usize = 4;

/// How long each attack runs, and the quiet run before the first attack and after a failed try.
const TIME: Duration = Duration::from_secs(2);

/// The effect of one attack.
#[derive(Debug, Default)]
struct Harm {
    /// The attacker's actions: packets, callers, connections.
    work: usize,
    p99: Duration,
    received: u64,
    lost: u64,
    damaged: u64,
    broken: Option<String>,
    /// The median response time of `/healthz`; None: most requests were not answered with 200.
    healthz: Option<Duration>,
}

impl Harm {
    fn of(outcomes: &[Outcome], healthz: Option<Duration>, work: usize) -> Self {
        let mut harm = Self {
            work,
            healthz,
            ..Self::default()
        };
        for outcome in outcomes {
            harm.p99 = harm.p99.max(outcome.p99());
            harm.received += outcome.received;
            harm.lost += outcome.lost;
            harm.damaged += outcome.damaged;
            harm.broken = harm.broken.take().or_else(|| outcome.broken.clone());
            if outcome.received == 0 {
                harm.broken.get_or_insert_with(|| "nothing arrived".to_owned());
            }
        }
        harm
    }

    /// Whether `/healthz` answered within 100 ms, apart from the machine's own delay.
    fn is_prompt(&self, quiet: &Self) -> bool {
        let usual = quiet.healthz.unwrap_or_default();
        self.healthz.is_some_and(|took| took <= usual + PROBE)
    }

    fn is_none(&self, quiet: &Self) -> bool {
        self.work > 0
            && self.lost == 0
            && self.damaged == 0
            && self.broken.is_none()
            && self.is_prompt(quiet)
            && self.p99 <= quiet.p99 + ADDED
            // Packets that a stalled gateway holds back are not lost yet, and their delay is unknown.
            && 10 * self.received >= 9 * quiet.received
    }
}

#[test]
fn attacks_harm_no_stream_beside_them() {
    let failed = Namespace::new(&[ground::NETWORK]).run(|| {
        let mut failed = harm_by(&ATTACKS, false);
        failed.extend(harm_by(&ATTACKS_WITH_HOOK, true));
        failed
    });
    assert!(failed.is_empty(), "harmed each time by {failed:#?}");
}

/// Runs the attacks one after the other, and returns those that did harm in each try.
fn harm_by(attacks: &[(&'static str, Attack)], with_hook: bool) -> Vec<(&'static str, Harm)> {
    let mut failed = Vec::new();
    let (mut ground, mut quiet) = quiet_ground(with_hook);
    for (name, attack) in attacks {
        for turn in 1..=TRIES {
            let harm = ground.under(*attack, TIME);
            println!("{name}: {harm:?}, quiet p99 {:?}", quiet.p99);
            if harm.is_none(&quiet) {
                break;
            }
            if turn == TRIES {
                failed.push((*name, harm));
            }
            drop(ground);
            (ground, quiet) = quiet_ground(with_hook);
        }
    }
    failed
}

/// A gateway with a reference stream, and the stream's result without an attack.
fn quiet_ground(with_hook: bool) -> (Ground, Harm) {
    let ground = Ground::new(with_hook);
    let quiet = ground.under(|_, _| 0, TIME);
    println!("quiet: {quiet:?}");
    (ground, quiet)
}
