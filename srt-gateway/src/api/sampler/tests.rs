//! Tests of the sampler with a running gateway whose control can be made to hang.

use super::*;
use crate::{config::Config, control::Command};

/// While control does not answer, nothing is sampled: health checks fail, and nothing is counted twice afterwards.
#[test]
fn a_control_that_is_stuck_is_not_taken_for_an_empty_gateway() {
    let gateway = crate::Gateway::start(&Config::default()).unwrap();
    let mut view = gateway.view().clone();
    let (questions, unread) = crossbeam_channel::bounded::<Command>(16);
    let answered = std::mem::replace(&mut view.commands, questions);
    let mut state = SamplerState::new(view, Arc::default());
    assert!(state.sample(Instant::now()).is_none());
    assert_eq!(unread.len(), 1, "it was asked");
    state.view.commands = answered;
    let snapshot = state.sample(Instant::now()).expect("it answers again");
    assert!(snapshot.taken.elapsed() < SECOND);
}
