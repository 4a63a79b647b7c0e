//! The pool of workers: their threads, their messages, and the assignment of sessions to them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use srt_safe::{Epoll, SocketId};
use tracing::warn;

use super::{
    CloseReason, IoEvent, SessionSetup, StartPoolError, Task,
    mailbox::{Mailbox, MailboxReceiver},
    outlet::{OUTLETS, Outlet, OutletKind, Outlets},
    recorder::Recorder,
    worker::Worker,
};
use crate::{
    data::{Stream, Writer},
    names::{Role, SessionId},
    telemetry::{Criticality, LoopLag, Threads},
};

/// Messages to a worker.
#[derive(Debug)]
pub(crate) enum Message {
    /// From the worker of the stream's source: the ring has new messages.
    Fanout(Arc<Stream>),
    /// From itself: a viewer had more to send than one turn allows.
    CatchUp(SocketId),
    /// From itself: a publisher had more to receive than one turn allows.
    Receive(SocketId),
    /// From itself: a viewer sent more than one turn discards.
    Discard(SocketId),
    /// From control: a new session.
    Start(Box<SessionSetup>, Task),
    /// From control: a standby session starts to feed the stream.
    Feed(SocketId, Arc<Stream>, Writer),
    /// From control: the session that feeds the stream stands by, and confirms it.
    StandBy(SocketId),
    /// From control: release the writer, confirm it, and leave received packets in libsrt until `Feed` or `Close`.
    Pause(SocketId),
    /// From control: close a session.
    Close(SocketId, CloseReason),
    /// From control, for outlets: a new output that is not an SRT socket.
    Attach(Box<Outlet>),
    /// From control, for outlets: close an output.
    Detach(SessionId, CloseReason),
    /// Shutdown, first step: receive what the publishers have sent, close them, and reply.
    EndSources(Sender<()>),
    /// Shutdown, second step: send what the rings hold until `Instant`, close the viewers, and end.
    Drain(Instant),
}

/// The workers' threads.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The workers' mailboxes, then those of the outlets.
    mailboxes: Box<[Mailbox]>,
    /// The load of each worker.
    loads: Box<[Arc<AtomicU32>]>,
    lag: Arc<LoopLag>,
    threads: Vec<JoinHandle<()>>,
}

/// The extra time after the deadline in which workers close what is still open.
const MARGIN: Duration = Duration::from_millis(300);

/// How often the end of threads is polled.
const POLL: Duration = Duration::from_millis(1);

/// Joins the threads that end by `deadline`; returns how many do not.
pub(crate) fn join_until(threads: impl IntoIterator<Item = JoinHandle<()>>, deadline: Instant) -> usize {
    let mut left = 0;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if thread.is_finished() {
            drop(thread.join());
        } else {
            left += 1;
        }
    }
    left
}

/// The load of each worker.
#[derive(Debug)]
pub(crate) struct Loads(Box<[Arc<AtomicU32>]>);

impl Loads {
    /// The total load, in viewers.
    pub(crate) fn total(&self) -> u32 {
        self.0.iter().map(|load| load.load(Relaxed)).sum()
    }
}

/// The load of a publisher, in viewers (docs/performance.md).
const PUBLISHER_LOAD: u32 = 4;

/// How many viewers of a stream stay on its source's worker. Waking another worker costs about as much as sending to a
/// few viewers.
const LOCAL_VIEWERS: u32 = 8;

/// A session's reservation on a worker, released when dropped.
#[derive(Debug)]
pub(crate) struct WorkerAssignment {
    worker: usize,
    load: Arc<AtomicU32>,
    weight: u32,
}

impl WorkerAssignment {
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for WorkerAssignment {
    fn drop(&mut self) {
        self.load.fetch_sub(self.weight, Relaxed);
    }
}

impl Pool {
    pub(crate) fn start(
        workers: usize,
        control: &Sender<IoEvent>,
        watched: &Threads,
    ) -> Result<Self, StartPoolError> {
        let mut mailboxes = Vec::new();
        let mut posts = Vec::new();
        for _ in 0..workers {
            let (mailbox, post) = Mailbox::for_waiter_of(Epoll::new()?);
            mailboxes.push(mailbox);
            posts.push(post);
        }
        let queues: [_; OUTLETS] = std::array::from_fn(|_| {
            let (mailbox, queue) = Mailbox::plain();
            mailboxes.push(mailbox);
            queue
        });
        let mut pool = Self {
            mailboxes: mailboxes.into(),
            loads: (0..workers).map(|_| Arc::default()).collect(),
            lag: Arc::default(),
            threads: Vec::new(),
        };
        for (index, post) in posts.into_iter().enumerate() {
            pool.start_worker(index, post, control, watched)?;
        }
        let [datagrams, files] = queues;
        let mailbox = pool.mailboxes[workers].clone();
        let outlets = Outlets::new(workers, mailbox, control.clone());
        let pulse = watched.register("outlets", Criticality::Vital);
        pool.spawn("outlets".to_owned(), move || outlets.run(&datagrams, &pulse))?;
        let recorder = Recorder::new(workers + 1, control.clone());
        pool.spawn("recorder".to_owned(), move || recorder.run(&files))?;
        Ok(pool)
    }

    fn start_worker(
        &mut self,
        index: usize,
        post: MailboxReceiver,
        control: &Sender<IoEvent>,
        watched: &Threads,
    ) -> io::Result<()> {
        let worker = Worker::new(
            index,
            post,
            self.mailboxes.clone(),
            control.clone(),
            Arc::clone(&self.lag),
        );
        let name = format!("relay-{index}");
        let pulse = watched.register(name.as_str(), Criticality::Vital);
        self.spawn(name, move || worker.run(&pulse))
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    /// The load of the workers, for other threads.
    pub(crate) fn loads(&self) -> Loads {
        Loads(self.loads.clone())
    }

    /// The lag of the workers.
    pub(crate) fn lag(&self) -> &Arc<LoopLag> {
        &self.lag
    }

    pub(crate) fn mailboxes(&self) -> Box<[Mailbox]> {
        self.mailboxes.clone()
    }

    /// Assigns a worker to a new session of `stream`. The source and the first viewers share a worker, which saves
    /// waking another thread for each message; further viewers are distributed over all workers.
    pub(crate) fn place(&self, stream: &Stream, role: Role) -> WorkerAssignment {
        let home = stream.home().unwrap_or_else(|| self.least_loaded());
        stream.set_home(home);
        let is_near = role == Role::Publisher || stream.viewers_on(home) < LOCAL_VIEWERS;
        let worker = if is_near { home } else { self.least_loaded() };
        let weight = match role {
            Role::Publisher => PUBLISHER_LOAD,
            Role::Viewer => 1,
        };
        let load = Arc::clone(&self.loads[worker]);
        load.fetch_add(weight, Relaxed);
        WorkerAssignment { worker, load, weight }
    }

    fn least_loaded(&self) -> usize {
        let loads = self.loads.iter().map(|load| load.load(Relaxed)).enumerate();
        loads
            .min_by_key(|(_, load)| *load)
            .map_or(0, |(worker, _)| worker)
    }

    /// Sends to the thread for outlets of this kind.
    pub(crate) fn send_outlet(&self, kind: OutletKind, message: Message) {
        let at = match kind {
            OutletKind::Datagrams => 0,
            OutletKind::Files => 1,
        };
        self.send(self.loads.len() + at, message);
    }

    pub(crate) fn send(&self, worker: usize, message: Message) {
        self.mailboxes[worker].send(message);
    }

    /// Closes all sessions in order: sources first, then viewers once they have received what the rings hold, or at
    /// `deadline`.
    pub(crate) fn shut_down(&mut self, deadline: Instant) {
        let (answer, answers) = crossbeam_channel::bounded(self.mailboxes.len());
        for mailbox in &self.mailboxes {
            mailbox.send(Message::EndSources(answer.clone()));
        }
        drop(answer);
        while answers.recv_deadline(deadline).is_ok() {}
        for mailbox in &self.mailboxes {
            mailbox.send(Message::Drain(deadline));
        }
        let left = join_until(std::mem::take(&mut self.threads), deadline + MARGIN);
        if left > 0 {
            warn!(threads = left, "workers did not stop in time");
        }
    }
}

impl Drop for Pool {
    /// For a start that failed halfway: without sessions this returns at once.
    fn drop(&mut self) {
        self.shut_down(Instant::now());
    }
}
