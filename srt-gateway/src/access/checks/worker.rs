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
use crate::rate_limit::network_of;

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

/// Jobs by network, one of each network in turn: addresses of one network wait for each other only.
#[derive(Debug, Default)]
struct Turns {
    networks: HashMap<IpAddr, VecDeque<Job>>,
    /// The networks that have jobs, in the order of their turns.
    order: VecDeque<IpAddr>,
    length: usize,
}

impl Turns {
    fn push(&mut self, job: Job) {
        let network = network_of(job.client);
        let jobs = self.networks.entry(network).or_default();
        if jobs.is_empty() {
            self.order.push_back(network);
        }
        jobs.push_back(job);
        self.length += 1;
    }

    fn pop(&mut self) -> Option<Job> {
        let network = self.order.pop_front()?;
        let jobs = self.networks.get_mut(&network)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.networks.remove(&network);
        } else {
            self.order.push_back(network);
        }
        self.length -= 1;
        Some(job)
    }

    /// Takes the last job of the network with the most, if a job of `client` would be better served with its place.
    fn give_way(&mut self, client: IpAddr) -> Option<Job> {
        let own = self.networks.get(&network_of(client)).map_or(0, VecDeque::len);
        let longest = self.networks.values_mut().max_by_key(|jobs| jobs.len())?;
        if longest.len() <= own + 1 {
            return None;
        }
        self.length -= 1;
        longest.pop_back()
    }
}

#[derive(Debug, Default)]
struct Queue {
    first: Turns,
    later: Turns,
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
        if of_client >= QUEUE_OF_CLIENT {
            return false;
        }
        if queue.length >= QUEUE {
            match queue.give_way(job.client) {
                Some(gone) => self.done(&gone.digest, gone.client),
                None => return false,
            }
        }
        self.clients.insert(job.client, of_client + 1);
        self.pending.insert(job.digest);
        let queue = if failed_lately {
            &mut self.later
        } else {
            &mut self.first
        };
        queue.push(job);
        true
    }

    fn pop(&mut self) -> Option<Job> {
        self.taken = self.taken.wrapping_add(1);
        if self.taken.is_multiple_of(TURN) {
            return self.later.pop().or_else(|| self.first.pop());
        }
        self.first.pop().or_else(|| self.later.pop())
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
        assert_eq!((queue.first.length, queue.later.length), (8, QUEUE));
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

    fn of(prefix: u128, number: u128) -> Job {
        let client = IpAddr::from(std::net::Ipv6Addr::from_bits(prefix << 96 | number << 64));
        let mut job = job(0, u32::try_from(number).unwrap());
        job.digest[8..12].copy_from_slice(&u32::try_from(prefix).unwrap().to_be_bytes());
        job.client = client;
        job
    }

    #[test]
    fn a_flood_of_fresh_addresses_of_a_network_delays_others_by_little() {
        let mut queue = Queue::default();
        for number in 0..10_000 {
            queue.push(of(0x2001_0db8, number), false);
        }
        assert_eq!(queue.first.length, QUEUE);
        let innocent = of(0x2001_0db9, 1);
        let digest = innocent.digest;
        assert!(queue.push(innocent, false), "the flood gives way");
        assert_eq!((queue.first.length, queue.clients.len()), (QUEUE, QUEUE));
        let place = std::iter::from_fn(|| queue.pop()).position(|job| job.digest == digest);
        assert_eq!(place, Some(1));
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
