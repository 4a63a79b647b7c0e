//! The counters of streams since the gateway started. An unused stream is removed and created again with its next
//! publisher; its totals are kept, so that no total ever decreases. Plain data of the sampler's thread.

use std::collections::HashMap;

use super::figures;
use crate::{names::StreamName, ts::Check};

/// The number of removed streams whose totals are kept; beyond it, those removed longest ago start at zero again.
const GONE: usize = 1000;

/// The totals of a stream; they never decrease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Payload bytes from all sources.
    pub(crate) received: u64,
    /// Messages from all sources.
    pub(crate) messages: u64,
    /// Payload bytes to viewers and outputs.
    pub(crate) sent: u64,
    /// Messages that slow ones skipped.
    pub(crate) skipped: u64,
    /// How often `resend_limit` held back a packet.
    pub(crate) resends_held: u64,
    /// libsrt's counters by role, in the order of [`ROLES`](super::sampler::ROLES).
    pub(crate) links: [figures::Values; 2],
    /// Errors of the sources' transport streams, in the order of [`Check::ALL`].
    pub(crate) checks: [u64; Check::ALL.len()],
}

/// The totals of all streams.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<StreamName, Account>,
    /// Counts the samples.
    now: u64,
}

#[derive(Debug, Default)]
struct Account {
    totals: Totals,
    /// The last sample that contained the stream.
    seen: u64,
}

impl Ledger {
    /// The totals of an existing stream.
    pub(super) fn of(&mut self, name: &StreamName) -> &mut Totals {
        if !self.accounts.contains_key(name) {
            self.accounts.insert(name.clone(), Account::default());
        }
        let account = self
            .accounts
            .get_mut(name)
            .expect("it was put there if it was missing");
        account.seen = self.now;
        &mut account.totals
    }

    /// Ends a sample: drops streams that were removed long ago, if there are too many.
    pub(super) fn close(&mut self) {
        let mut gone: Vec<u64> = self
            .accounts
            .values()
            .map(|account| account.seen)
            .filter(|seen| *seen < self.now)
            .collect();
        if let Some(excess) = gone.len().checked_sub(GONE).filter(|excess| *excess > 0) {
            let (_, last, _) = gone.select_nth_unstable(excess - 1);
            let last = *last;
            self.accounts.retain(|_, account| account.seen > last);
        }
        self.now += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_comes_back_goes_on_counting() {
        let mut ledger = Ledger::default();
        let name = StreamName::new("live/a");
        ledger.of(&name).received += 7;
        for _ in 0..1000 {
            ledger.close();
        }
        ledger.of(&name).received += 1;
        assert_eq!(ledger.of(&name).received, 8);
    }

    #[test]
    fn those_gone_longest_are_forgotten_and_none_that_is_there() {
        let mut ledger = Ledger::default();
        let name = |n: usize| StreamName::new(format!("s{n}"));
        let stays = StreamName::new("stays");
        for n in 0..GONE + 50 {
            ledger.of(&name(n)).sent = 1;
            ledger.of(&stays).sent = 1;
            ledger.close();
        }
        ledger.of(&stays);
        ledger.close();
        assert_eq!(ledger.accounts.len(), GONE + 1);
        assert_eq!(ledger.of(&stays).sent, 1);
        assert_eq!(ledger.of(&name(49)).sent, 0);
        assert_eq!(ledger.of(&name(50)).sent, 1);
    }
}
