//! Who may be the peer of an input or output that listens (`mode=listener`): one caller at a time, whose part is known.
//!
//! Asks what a port of the stream would ask, but for the name: an encoder's streamid may say what it likes there. A loop is
//! cut, the other mode is refused, and who publishes or plays must have the stream's `password` and fit the rules. Runs on
//! libsrt's threads, within the callback; waits for nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use srt_safe::{AccessRequest, Admission, RejectCode, Verdict};

use super::{
    Ask, AskMode, Caller, Directory, Guards, PortPolicy, Refused, Why,
    decide::{Stop, check_applicant},
    gate::Seen,
    rules::Applicant,
};
use crate::{
    config::PortKind,
    names::{Role, StreamName},
};

/// The door of one listening endpoint.
#[derive(Debug)]
pub(crate) struct Threshold {
    /// As the log and the refused attempts name it. Its kind is the caller's part.
    pub(crate) port: Arc<PortPolicy>,
    pub(crate) stream: StreamName,
    pub(crate) directory: Arc<ArcSwap<Directory>>,
    pub(crate) refused: Sender<Refused>,
    pub(crate) guards: Guards,
    /// Whether it has its peer.
    pub(crate) taken: Arc<AtomicBool>,
}

impl Threshold {
    /// The verdict on a caller.
    pub(crate) fn authorize(&self, request: &AccessRequest<'_>) -> Verdict {
        if self.taken.load(Relaxed) {
            return Verdict::Refuse(RejectCode::CONFLICT);
        }
        let now = Instant::now();
        let seen = Seen::new(request, &self.guards, now);
        let caller = Caller {
            peer: request.peer_addr(),
            streamid: request.stream_id_bytes(),
            handshake: request.handshake(),
            bond: None,
            known: &seen,
        };
        let why = match self.judge(&self.directory.load(), caller) {
            Ok(()) => return Verdict::Admit(Admission::new()),
            Err(Stop::Refuse(why)) => why,
            Err(Stop::Wait(question)) => match self.guards.ask(question, caller.peer.ip(), now) {
                Ok(()) => return Verdict::Defer,
                Err(why) => why,
            },
        };
        let code = why.code().code().unwrap_or(RejectCode::FALLBACK);
        // A full channel means that refusals come faster than they can be told of: the verdict stands all the same.
        drop(self.refused.try_send(Refused {
            peer: caller.peer,
            port: Arc::clone(&self.port),
            streamid: caller.streamid.into(),
            handshake: caller.handshake,
            why,
        }));
        Verdict::Refuse(code)
    }

    fn judge(&self, directory: &Directory, caller: Caller<'_>) -> Result<(), Stop> {
        if directory.identity.is_in(caller.streamid) {
            return Err(Why::Loop.into());
        }
        // What cannot be read says nothing, and so has no password.
        let ask = Ask::read(caller.streamid, directory.access.dialects).ok();
        let role = match self.port.kind {
            PortKind::Play => Role::Viewer,
            PortKind::Publish | PortKind::Both => Role::Publisher,
        };
        let asked = ask.as_ref().and_then(|ask| ask.mode).map(|mode| match mode {
            AskMode::Publish => Role::Publisher,
            AskMode::Request => Role::Viewer,
        });
        if let Some(asked) = asked.filter(|asked| *asked != role) {
            let port = self.port.to_string();
            return Err(Why::WrongMode { port, asked }.into());
        }
        let Some(entry) = directory.streams.get(&self.stream) else {
            return Ok(());
        };
        let names = ask.as_ref().map(|ask| ask.names.as_slice()).unwrap_or_default();
        let reading = names
            .iter()
            .find(|name| name.stream == self.stream)
            .or_else(|| names.last());
        let alone = ask.as_ref().and_then(|ask| ask.password.as_ref());
        let applicant = Applicant {
            role,
            stream: &self.stream,
            user: ask.as_ref().and_then(|ask| ask.user.as_deref()),
            password: reading.and_then(|name| name.password.as_ref()).or(alone),
            peer: caller.peer.ip(),
        };
        check_applicant(directory, Some(&entry.policy), applicant, caller.known)
    }
}
