//! Looks up host names, on threads of its own: a name server that does not answer holds up other names at worst, and
//! never control.
//!
//! The threads start with the first name that is asked for: a configuration of addresses has none.

use std::{io, net::SocketAddr, net::ToSocketAddrs, thread};

use crossbeam_channel::{Receiver, Sender};

use super::IoEvent;

/// A name server that does not answer holds a thread for seconds; with several, other names get theirs meanwhile.
const THREADS: usize = 4;

/// A question: whose it is, host and port.
type Question = (EndpointId, String, u16);

/// Number of an input or output, never used again while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndpointId(pub(crate) u32);

/// The resolver's threads.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: Sender<Question>,
    receiver: Receiver<Question>,
    answers: Sender<IoEvent>,
    threads: usize,
}

impl Resolver {
    /// Answers come as [`IoEvent::Resolved`].
    pub(crate) fn new(answers: Sender<IoEvent>) -> Self {
        let (questions, receiver) = crossbeam_channel::unbounded();
        Self {
            questions,
            receiver,
            answers,
            threads: 0,
        }
    }

    /// Asks for the addresses of `host`. An endpoint has one question at a time, which bounds the queue.
    pub(crate) fn ask(&mut self, endpoint: EndpointId, host: String, port: u16) -> io::Result<()> {
        while self.threads < THREADS {
            let (receiver, answers) = (self.receiver.clone(), self.answers.clone());
            thread::Builder::new()
                .name(format!("resolve-{}", self.threads))
                .spawn(move || {
                    for (endpoint, host, port) in receiver {
                        let found = (host.as_str(), port).to_socket_addrs();
                        let found = found.map(Iterator::collect).map_err(|error| error.to_string());
                        drop(answers.send(IoEvent::Resolved(endpoint, found)));
                    }
                })?;
            self.threads += 1;
        }
        drop(self.questions.send((endpoint, host, port)));
        Ok(())
    }
}

/// What came of a question: addresses (several, or none), or why there are none.
pub(crate) type Resolved = Result<Vec<SocketAddr>, String>;
