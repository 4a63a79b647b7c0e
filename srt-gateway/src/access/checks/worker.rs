//! A thread that runs checks, and its queue.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use rustix::process::setpriority_process;

use super::{Digest, Work, results::Results};

/// Pending checks of clients that did not fail lately, and the same number of those that did.
const QUEUE: usize = 512;

/// Pending checks per client.
const QUEUE_OF_CLIENT: u32 = 8;

/// After this many checks, one of a client that failed lately goes first, so that these are not starved.
const TURN: u32 = 4;

/// The priority of the thread, as of nice(1).
const NICE: i32 = 10;

/// Ends its thread when dropped.
#[derive(Debug)]
pub(super) struct Worker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    results: Results,
    queue: Queue,
    ended: bool,
}

#[derive(Debug)]
struct Job {
    digest: Digest,
    client: IpAddr,
    work: Work,
}

#[derive(Debug, Default)]
struct Queue {
    first: VecDeque<Job>,
    later: VecDeque<Job>,
    /// Checks that wait or are running.
    pending: HashSet<Digest>,
    clients: HashMap<IpAddr, u32>,
    taken: u32,
}

impl Queue {
    /// Returns false if there is no room.
    fn push(&mut self, job: Job, failed_lately: bool) -> bool {
        let of_client = self.clients.get(&job.client).copied().unwrap_or_default();
        let queue = if failed_lately {
            &mut self.later
        } else {
            &mut self.first
        };
        if of_client >= QUEUE_OF_CLIENT || queue.len() >= QUEUE {
            return false;
        }
        self.clients.insert(job.client, of_client + 1);
        self.pending.insert(job.digest);
        queue.push_back(job);
        true
    }

    fn pop(&mut self) -> Option<Job> {
        self.taken = self.taken.wrapping_add(1);
        if self.taken.is_multiple_of(TURN) {
            return self.later.pop_front().or_else(|| self.first.pop_front());
        }
        self.first.pop_front().or_else(|| self.later.pop_front())
    }

    fn done(&mut self, digest: &Digest, client: IpAddr) {
        self.pending.remove(digest);
        if let Some(of_client) = self.clients.get_mut(&client) {
            *of_client -= 1;
            if *of_client == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let worker = Self(Arc::clone(&shared));
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Wrong keys and passwords can keep this thread busy, so it yields to those that carry streams. On Linux,
            // this sets the priority of the calling thread only.
            if let Err(error) = setpriority_process(None, NICE) {
                tracing::debug!(%error, "cannot lower the priority of a thread that checks secrets");
            }
            run(&shared);
        })?;
        Ok(worker)
    }

    /// Queues `work`, unless its result is known or pending. Returns false if the queue is full.
    pub(super) fn ask(&self, digest: Digest, client: IpAddr, work: Work, now: Instant) -> bool {
        let mut state = self.0.state();
        if state.queue.pending.contains(&digest) || state.results.get(&digest, now).is_some() {
            return true;
        }
        let failed_lately = state.results.failed_lately(client, now);
        let queued = state.queue.push(Job { digest, client, work }, failed_lately);
        drop(state);
        if queued {
            self.0.wake.notify_one();
        }
        queued
    }

    /// The index of the matching secret, or that none matches; None: not known.
    pub(super) fn known(&self, digest: &Digest, now: Instant) -> Option<Option<usize>> {
        self.0.state().results.get(digest, now)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.wake.notify_one();
    }
}

fn run(shared: &Shared) {
    let mut state = shared.state();
    while !state.ended {
        let Some(job) = state.queue.pop() else {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let place = job.work.check();
        state = shared.state();
        state.queue.done(&job.digest, job.client);
        state.results.add(job.digest, job.client, place, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::checks::PasswordQuestion, config::Secret};

    fn job(client: u32, number: u32) -> Job {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&client.to_be_bytes());
        digest[4..8].copy_from_slice(&number.to_be_bytes());
        Job {
            digest,
            client: IpAddr::from(std::net::Ipv4Addr::from_bits(client)),
            work: Work::Password(PasswordQuestion {
                hash: Secret::new(""),
                password: Secret::new(""),
            }),
        }
    }

    #[test]
    fn a_flood_delays_clients_that_did_not_fail_by_little() {
        let mut queue = Queue::default();
        // An attacker's address reaches its limit at once, and so do those that failed lately.
        for client in 1..=200 {
            for number in 0..100 {
                queue.push(job(client, number), client > 1);
            }
        }
        assert_eq!((queue.first.len(), queue.later.len()), (8, QUEUE));
        assert!(queue.push(job(9000, 0), false));
        let innocent = job(9000, 0).digest;
        let mut popped = 0;
        while queue.pop().is_some_and(|job| job.digest != innocent) {
            popped += 1;
        }
        assert!(popped <= 12, "{popped}");
        assert!(!queue.push(job(1, 1000), false), "until its checks are done");
        for number in 0..8 {
            let done = job(1, number);
            queue.done(&done.digest, done.client);
        }
        assert!(queue.push(job(1, 1000), false));
    }

    #[test]
    fn clients_that_failed_get_their_turn() {
        let mut queue = Queue::default();
        for client in 0..100 {
            queue.push(job(client, 0), false);
        }
        queue.push(job(1000, 0), true);
        let late = job(1000, 0).digest;
        let place = std::iter::from_fn(|| queue.pop()).position(|job| job.digest == late);
        assert_eq!(place, Some(3));
    }
}
