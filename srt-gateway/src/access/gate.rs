//! The gate of one listener: asks `decide` from libsrt's listen callback and keeps what it granted until accept.
//!
//! Runs on the receive thread of the port, under the listener's lock: it reads a snapshot, takes one short lock of its
//! own, and hands refusals to control by a bounded channel. It does no I/O and waits for nobody.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use srt_safe::{
    AccessRequest, Admission, CallerHandshake, RejectCode, SocketId, Verdict, log::EncryptionFault,
};

use super::{
    Caller, Decision, Directory, Grant, PortPolicy, decide, decide::Why, policy::connection_options,
};

/// A handshake that was granted and not completed by then (wrong passphrase, caller gone) is forgotten.
const COMPLETION: Duration = Duration::from_secs(10);

/// A refused caller, for the record.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) peer: SocketAddr,
    pub(crate) port: Arc<PortPolicy>,
    pub(crate) streamid: Box<[u8]>,
    pub(crate) handshake: Option<CallerHandshake>,
    pub(crate) why: Why,
}

/// A grant that waits for its handshake to be completed.
#[derive(Debug)]
pub(crate) struct Granted {
    since: Instant,
    peer: SocketAddr,
    streamid: Box<[u8]>,
    handshake: Option<CallerHandshake>,
    pub(crate) grant: Grant,
}

impl Granted {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// It was refused after all: libsrt ended the handshake over encryption.
    pub(crate) fn refused(self, port: Arc<PortPolicy>, fault: EncryptionFault) -> Refused {
        let why = match self.handshake {
            Some(handshake) => Why::of_encryption_seen(fault, handshake, self.grant),
            None => Why::of_encryption(fault, self.grant),
        };
        Refused {
            peer: self.peer,
            port,
            streamid: self.streamid,
            handshake: self.handshake,
            why,
        }
    }
}

/// One listener's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    port: Arc<PortPolicy>,
    directory: Arc<ArcSwap<Directory>>,
    granted: Mutex<HashMap<SocketId, Granted>>,
    refused: Sender<Refused>,
}

impl Gate {
    pub(crate) fn new(
        port: Arc<PortPolicy>,
        directory: Arc<ArcSwap<Directory>>,
        refused: Sender<Refused>,
    ) -> Arc<Self> {
        Arc::new(Self {
            port,
            directory,
            granted: Mutex::default(),
            refused,
        })
    }

    pub(crate) fn port(&self) -> &Arc<PortPolicy> {
        &self.port
    }

    /// What was granted to an accepted connection.
    pub(crate) fn take(&self, socket: SocketId) -> Option<Grant> {
        self.take_granted(socket).map(|granted| granted.grant)
    }

    /// What was granted to a connection, and to whom.
    pub(crate) fn take_granted(&self, socket: SocketId) -> Option<Granted> {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.remove(&socket)
    }

    /// Takes the grants whose handshakes were never completed.
    pub(crate) fn take_incomplete(&self, now: Instant) -> Vec<Granted> {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted
            .extract_if(|_, granted| now.duration_since(granted.since) >= COMPLETION)
            .map(|(_, granted)| granted)
            .collect()
    }
}

impl Gate {
    /// The verdict on a caller: what the listener's callback runs.
    pub(crate) fn authorize(&self, request: &AccessRequest<'_>) -> Verdict {
        let caller = Caller {
            peer: request.peer_addr(),
            streamid: request.stream_id_bytes(),
            handshake: request.handshake(),
        };
        match decide(&self.port, &self.directory.load(), caller) {
            Decision::Admit(grant) => {
                let admission = Admission::new().options(connection_options(grant.passphrase.as_ref()));
                let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
                let entry = Granted {
                    since: Instant::now(),
                    peer: caller.peer,
                    streamid: caller.streamid.into(),
                    handshake: caller.handshake,
                    grant,
                };
                granted.insert(request.socket_id(), entry);
                Verdict::Admit(admission)
            }
            Decision::Refuse(why) => {
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
        }
    }
}
