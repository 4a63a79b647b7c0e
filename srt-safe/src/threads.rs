//! libsrt's own threads, and whether they make progress.

use std::ffi::CStr;

use libsrt_sys::SrtEditThreadState;

/// The limit of listed threads: two per local port.
const MOST: usize = 8192;

/// The task of a libsrt thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LibraryThreadKind {
    /// Receives the datagrams of a port, and runs the listen callback and the timers of its connections.
    Receiver,
    /// Sends the packets of a port.
    Sender,
    /// Closes sockets; one for the process.
    GarbageCollector,
}

/// A libsrt thread at one moment. List the threads twice to find stuck ones: a thread that did not wait either time,
/// and whose `rounds` have not increased in between, has been busy with one thing since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryThread {
    /// Its task.
    pub kind: LibraryThreadKind,
    /// Its local UDP port.
    pub port: Option<u16>,
    /// Its system thread id: `/proc/self/task/<id>`.
    pub id: u32,
    /// The number of rounds of its loop.
    pub rounds: u64,
    /// Whether it waits for work or for a time.
    pub is_waiting: bool,
}

/// Lists libsrt's receiving, sending and garbage-collecting threads. Never waits for one of them.
///
/// Not supported by an installed libsrt: the list is empty.
#[must_use]
pub fn library_threads() -> Vec<LibraryThread> {
    let mut room = 64;
    loop {
        let mut states = vec![SrtEditThreadState::default(); room];
        // SAFETY: the pointer and the length describe `states`, of which our edit's function writes at most `room` elements.
        let count = unsafe { libsrt_sys::srt_edit_threads(states.as_mut_ptr(), states.len()) };
        if count > room && room < MOST {
            room = MOST.min(count * 2);
            continue;
        }
        states.truncate(count);
        return states.iter().filter_map(thread_of).collect();
    }
}

/// None for threads of other kinds, which live as long as a connection.
fn thread_of(state: &SrtEditThreadState) -> Option<LibraryThread> {
    let name = CStr::from_bytes_until_nul(&state.name).ok()?.to_bytes();
    let kinds = [
        (b"SRT:RcvQ".as_slice(), LibraryThreadKind::Receiver),
        (b"SRT:SndQ", LibraryThreadKind::Sender),
        (b"SRT:GC", LibraryThreadKind::GarbageCollector),
    ];
    let (_, kind) = kinds.into_iter().find(|(prefix, _)| name.starts_with(prefix))?;
    Some(LibraryThread {
        kind,
        port: u16::try_from(state.port).ok().filter(|port| *port != 0),
        id: state.tid.unsigned_abs(),
        rounds: state.steps,
        is_waiting: state.is_waiting != 0,
    })
}
