//! Every handle can move to another thread, and several threads can use it at once.

use srt_safe::{
    AccessCounts, Admission, Connecting, Epoll, Error, Events, Incoming, MemberTable, MessageInfo,
    MessageOptions, Options, Passphrase, Progress, Registry, SocketId, SrtGroup, SrtListener,
    SrtListenerBuilder, SrtSocket, SrtSocketBuilder, Stats, StreamId, Verdict, Waker,
};

const fn shared<T: Send + Sync + 'static>() {}

/// The test is that this compiles: a property of the types, not of their values.
#[test]
fn handles_and_values_are_send_and_sync() {
    shared::<SrtSocket>();
    shared::<SrtSocketBuilder>();
    shared::<Connecting>();
    shared::<Progress>();
    shared::<SrtListener>();
    shared::<SrtListenerBuilder>();
    shared::<(SrtGroup, MemberTable)>();
    shared::<Incoming<'static>>();
    shared::<Epoll>();
    shared::<Events>();
    shared::<Registry>();
    shared::<Waker>();
    shared::<(SocketId, StreamId, Options, Passphrase, Stats)>();
    shared::<(
        MessageInfo,
        MessageOptions,
        Admission,
        Verdict,
        AccessCounts,
        Error,
    )>();
}
