// Our edits to libsrt, applied at build time to a copy of its source in OUT_DIR; one file a concern, each with its reason.
// An edit stands on anchors: a few words of the source that occur exactly once in its file. In the pinned version a missing
// anchor fails the build; in another tree (LIBSRT_SOURCE_DIR) the edit is left out whole, with a warning.

mod batched_receive;
mod bonding_races;
mod bounded_handshake;
mod bounded_keys;
mod bounded_losses;
mod bounded_waits;
mod closing_groups;
mod collected_sends;
mod deferred_verdict;
mod dropped_entries;
mod empty_control;
mod epoll_asked;
mod epoll_wakeups;
mod exit_at_once;
mod expired_resend;
mod fair_lock;
mod filter_cap;
mod forged_data;
mod handshake_time;
mod handshake_view;
mod keep_broken;
mod last_packet;
mod listen_first;
mod overlapping_messages;
mod peer_state;
mod proven_address;
mod quiet_accept;
mod reader_timed;
mod receive_units;
mod refused_groups;
mod resend_cap;
mod secret_verdict;
mod sparing;
mod system_random;
mod thread_progress;

/// A named change of libsrt's behaviour.
pub(crate) struct Edit {
    /// How crates above ask for it: `libsrt_sys::has_edit(NAME)`.
    pub(crate) name: &'static str,
    pub(crate) changes: &'static [Change],
}

/// One change to one file.
pub(crate) struct Change {
    pub(crate) file: &'static str,
    /// Must occur exactly once in `file`.
    pub(crate) anchor: &'static str,
    pub(crate) put: Put,
    pub(crate) text: &'static str,
}

/// Where the text goes.
pub(crate) enum Put {
    /// In front of the line that holds the anchor.
    BeforeLine,
    /// Behind the line that holds the anchor.
    AfterLine,
    /// In place of the anchor itself.
    Replace,
}

/// All edits, in the order in which they are applied.
pub(crate) const ALL: &[Edit] = &[
    deferred_verdict::EDIT,
    secret_verdict::EDIT,
    epoll_wakeups::EDIT,
    epoll_asked::EDIT,
    handshake_view::EDIT,
    exit_at_once::EDIT,
    keep_broken::EDIT,
    last_packet::EDIT,
    quiet_accept::EDIT,
    bonding_races::EDIT,
    closing_groups::EDIT,
    expired_resend::EDIT,
    filter_cap::EDIT,
    collected_sends::EDIT,
    batched_receive::EDIT,
    sparing::EDIT,
    reader_timed::EDIT,
    handshake_time::EDIT,
    system_random::EDIT,
    proven_address::EDIT,
    empty_control::EDIT,
    receive_units::EDIT,
    thread_progress::EDIT,
    bounded_losses::EDIT,
    bounded_handshake::EDIT,
    bounded_keys::EDIT,
    bounded_waits::EDIT,
    refused_groups::EDIT,
    resend_cap::EDIT,
    listen_first::EDIT,
    overlapping_messages::EDIT,
    forged_data::EDIT,
    dropped_entries::EDIT,
    fair_lock::EDIT,
    peer_state::EDIT,
];
