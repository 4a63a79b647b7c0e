//! Resolves host names on threads of its own, so that a name server that does not answer delays at worst other names,
//! and never control.
//!
//! The threads start with the first name: a configuration that has only addresses needs none.

use std::{io, net::SocketAddr, net::ToSocketAddrs, thread};

use crossbeam_channel::{Receiver, Sender};

use super::IoEvent;

/// A name server that does not answer blocks a thread for seconds; the others continue to resolve.
const THREADS: usize = 4;

/// A query: its endpoint, and the hosts.
type Question = (EndpointId, Hosts);

/// The hosts to resolve.
#[derive(Debug)]
pub(crate) enum Hosts {
    /// All addresses of one host.
    One(String, u16),
    /// All addresses of each host, for the links of a bonded connection.
    Each(Vec<(String, u16)>),
}

impl Hosts {
    fn look_up(&self) -> Resolved {
        let all = |host: &str, port: u16| (host, port).to_socket_addrs().map_err(|error| error.to_string());
        match self {
            Self::One(host, port) => all(host, *port).map(|found| Found::All(found.collect())),
            Self::Each(hosts) => {
                let of = |(host, port): &(String, u16)| all(host, *port).map(Iterator::collect);
                let found: Vec<Result<Vec<_>, _>> = hosts.iter().map(of).collect();
                let why = found.iter().find_map(|found| found.as_ref().err().cloned());
                let addrs: Vec<_> = found.into_iter().map(Result::unwrap_or_default).collect();
                match why.filter(|_| addrs.iter().all(Vec::is_empty)) {
                    Some(why) => Err(why),
                    None => Ok(Found::Each(addrs)),
                }
            }
        }
    }
}

/// The number of an input or output; never reused while the gateway runs.
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
    /// Results arrive as [`IoEvent::Resolved`].
    pub(crate) fn new(answers: Sender<IoEvent>) -> Self {
        let (questions, receiver) = crossbeam_channel::unbounded();
        Self {
            questions,
            receiver,
            answers,
            threads: 0,
        }
    }

    /// Starts to resolve hosts. An endpoint has one query at a time, which bounds the queue.
    pub(crate) fn ask(&mut self, endpoint: EndpointId, hosts: Hosts) -> io::Result<()> {
        while self.threads < THREADS {
            let (receiver, answers) = (self.receiver.clone(), self.answers.clone());
            thread::Builder::new()
                .name(format!("resolve-{}", self.threads))
                .spawn(move || {
                    for (endpoint, hosts) in receiver {
                        drop(answers.send(IoEvent::Resolved(endpoint, hosts.look_up())));
                    }
                })?;
            self.threads += 1;
        }
        drop(self.questions.send((endpoint, hosts)));
        Ok(())
    }
}

/// The resolved addresses.
#[derive(Debug)]
pub(crate) enum Found {
    /// The addresses of one host, possibly none.
    All(Vec<SocketAddr>),
    /// The addresses of each host, in the order of the query.
    Each(Vec<Vec<SocketAddr>>),
}

/// The result of a query: addresses, or the error.
pub(crate) type Resolved = Result<Found, String>;
