//! Counters of the hook of `[auth]`, with fixed labels. Written by the threads that ask and by the backend's, read on
//! any.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::CallStats;

/// What came of a question to the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HookOutcome {
    /// It let the caller in.
    Admitted,
    /// It refused the caller.
    Refused,
    /// It gave no usable answer: `fail` decided.
    Failed,
    /// It was known to be down and not asked: `fail` decided.
    NotAsked,
    /// Too many questions were open: the caller was refused, to call again.
    Busy,
}

impl HookOutcome {
    /// All variants, in the order of their labels.
    pub const ALL: [Self; 5] = [
        Self::Admitted,
        Self::Refused,
        Self::Failed,
        Self::NotAsked,
        Self::Busy,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NotAsked => "not_asked",
            Self::Busy => "busy",
        }
    }
}

/// Counters of the hook. They survive a reload that changes the hook.
#[derive(Debug, Default)]
pub(crate) struct HookCounters {
    outcomes: [AtomicU64; HookOutcome::ALL.len()],
    rechecks: AtomicU64,
    openings: AtomicU64,
    pub(crate) calls: Arc<CallStats>,
}

impl HookCounters {
    pub(crate) fn add(&self, outcome: HookOutcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn add_recheck(&self) {
        self.rechecks.fetch_add(1, Relaxed);
    }

    /// Adds the number of times that the breaker has opened since the last call.
    pub(crate) fn add_openings(&self, openings: u64) {
        self.openings.fetch_add(openings, Relaxed);
    }

    pub(crate) fn status(&self, breaker: &'static str, answers_kept: usize) -> HookStatus {
        HookStatus {
            outcomes: HookOutcome::ALL
                .map(|outcome| (outcome, self.outcomes[outcome as usize].load(Relaxed))),
            rechecks: self.rechecks.load(Relaxed),
            calls: Arc::clone(&self.calls),
            breaker,
            breaker_openings: self.openings.load(Relaxed),
            answers_kept,
        }
    }
}

/// The hook of `[auth]`, for metrics.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookStatus {
    /// Questions by what came of them. One question may settle many callers.
    pub outcomes: [(HookOutcome, u64); HookOutcome::ALL.len()],
    /// Sessions whose lifetime had ended and of which the hook was asked again.
    pub rechecks: u64,
    /// The HTTP calls and how long they took.
    pub calls: Arc<CallStats>,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// How often it has opened.
    pub breaker_openings: u64,
    /// Answers in the cache, and questions that are under way.
    pub answers_kept: usize,
}

impl HookStatus {
    /// The number of questions with this outcome.
    #[must_use]
    pub fn count(&self, outcome: HookOutcome) -> u64 {
        self.outcomes[outcome as usize].1
    }
}
