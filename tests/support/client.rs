//! Callers of the test, over `srt_safe`: they see exact reject codes and message boundaries, and can do things that
//! other peers do not, such as stop reading.
//!
//! A [`Viewer`] owns one thread that receives into memory, a [`Publisher`] one that sends at a bit rate ([`Feeder`]).
//! The test checks the received data afterwards, when nothing is time-critical any more.

use crate::pace::{Feeder, Tail};
use crate::wait::wait_until;
use srt_safe::{Error, ErrorKind, Options, RejectReason, SrtSocket, StreamId};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a viewer's thread checks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How long a caller may take to connect on a busy machine.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects as a caller.
///
/// # Errors
/// See [`srt_safe::SrtSocketBuilder::connect`].
///
/// # Panics
/// If `stream_id` is no valid streamid.
pub fn connect(addr: SocketAddr, stream_id: &str, options: Options) -> srt_safe::Result<SrtSocket> {
    let builder = SrtSocket::builder().options(options).connect_timeout(CONNECT);
    let builder = match stream_id {
        "" => builder,
        id => builder.stream_id(StreamId::new(id).expect("a test's streamid is well-formed")),
    };
    builder.connect(addr)
}

/// Tries to connect and returns the reason of the refusal.
///
/// # Panics
/// If the caller is admitted, or fails otherwise.
#[must_use]
#[track_caller]
pub fn refusal(addr: SocketAddr, stream_id: &str, options: Options) -> RejectReason {
    match connect(addr, stream_id, options) {
        Ok(_) => panic!("{stream_id:?} was let in at {addr}"),
        Err(error) => error
            .reject_reason()
            .unwrap_or_else(|| panic!("{stream_id:?} at {addr} was not refused, but: {error}")),
    }
}

/// The data that a viewer has received.
#[derive(Debug, Default)]
pub struct Received {
    /// All bytes, one message after the other.
    pub bytes: Vec<u8>,
    /// The length of each message.
    pub sizes: Vec<usize>,
    /// Why the connection ended, once it has.
    pub end: Option<Error>,
}

impl Received {
    /// Message number `index`.
    #[must_use]
    pub fn message(&self, index: usize) -> Option<&[u8]> {
        let start = self.sizes.iter().take(index).sum();
        self.bytes.get(start..start + self.sizes.get(index)?)
    }
}

/// A caller that receives. Dropping it closes the connection.
#[derive(Debug)]
pub struct Viewer {
    received: Arc<Mutex<Received>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Viewer {
    /// Connects, and receives from then on.
    ///
    /// # Panics
    /// If it is not admitted.
    #[must_use]
    #[track_caller]
    pub fn connect(addr: SocketAddr, stream_id: &str, options: Options) -> Self {
        let socket = connect(addr, stream_id, options);
        Self::start(socket.unwrap_or_else(|error| panic!("{stream_id:?} at {addr}: {error}")))
    }

    /// Receives from a connected socket.
    ///
    /// # Panics
    /// If no thread can be started.
    #[must_use]
    pub fn start(socket: SrtSocket) -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
            thread::Builder::new()
                .name("viewer".to_owned())
                .spawn(move || receive(&socket, &received, &stop))
                .expect("a thread for a viewer")
        };
        Self {
            received,
            stop,
            thread: Some(thread),
        }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes received so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received().bytes.len()
    }

    /// Whether nothing was received yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.received().end.is_none()
    }

    /// Waits until it has received `length` bytes.
    ///
    /// # Panics
    /// If it has not within `deadline`, or the connection ends before.
    #[track_caller]
    pub fn wait_received(&self, length: usize, deadline: Duration) {
        wait_until(deadline, &format!("{length} bytes at a viewer"), || {
            let received = self.received();
            let has = received.bytes.len();
            assert!(
                has >= length || received.end.is_none(),
                "{:?} after {has} of {length} bytes",
                received.end
            );
            has >= length
        });
    }

    /// Waits until the connection ends, and returns the received data.
    ///
    /// # Panics
    /// If it does not within `deadline`.
    #[must_use]
    #[track_caller]
    pub fn wait_end(self, deadline: Duration) -> Received {
        wait_until(deadline, "the end of a viewer's connection", || {
            self.received().end.is_some()
        });
        self.finish()
    }

    /// Closes the connection, and returns the received data.
    #[must_use]
    pub fn finish(mut self) -> Received {
        self.end();
        std::mem::take(&mut *self.received())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a viewer's thread panicked");
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.end();
    }
}

fn receive(socket: &SrtSocket, received: &Mutex<Received>, stop: &AtomicBool) {
    let lock = || received.lock().unwrap_or_else(PoisonError::into_inner);
    let mut message = [0; 1456];
    if let Err(error) = socket.set_recv_timeout(Some(LOOK)) {
        lock().end = Some(error);
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        match socket.recv(&mut message) {
            Ok(length) => {
                let mut received = lock();
                received.bytes.extend_from_slice(&message[..length]);
                received.sizes.push(length);
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
            Err(error) => {
                lock().end = Some(error);
                return;
            }
        }
    }
}

/// A caller that sends a stream at its bit rate. Dropping it closes the connection, and libsrt drops what the peer has
/// not received by then.
#[derive(Debug)]
pub struct Publisher {
    socket: Arc<SrtSocket>,
    feeder: Feeder,
}

impl Publisher {
    /// Connects, and sends `stream` at `bits_per_second` in messages of seven TS packets. With [`Tail::Close`] it stays
    /// connected after the end of the stream, in silence.
    ///
    /// # Panics
    /// If it is not admitted.
    #[must_use]
    #[track_caller]
    pub fn connect(
        addr: SocketAddr,
        stream_id: &str,
        options: Options,
        (stream, bits_per_second, tail): (Arc<[u8]>, u64, Tail),
    ) -> Self {
        let socket = connect(addr, stream_id, options);
        let socket = Arc::new(socket.unwrap_or_else(|error| panic!("{stream_id:?} at {addr}: {error}")));
        let sender = Arc::clone(&socket);
        let feeder = Feeder::start(stream, bits_per_second, tail, move |chunk| {
            sender.send(chunk).map(drop).map_err(io::Error::from)
        });
        Self { socket, feeder }
    }

    /// The feeder of its data.
    #[must_use]
    pub fn feeder(&self) -> &Feeder {
        &self.feeder
    }

    /// Waits until the whole stream was sent once and the peer has it.
    ///
    /// # Panics
    /// If it has not within `deadline`.
    #[track_caller]
    pub fn wait_delivered(&self, deadline: Duration) {
        wait_until(deadline, "the stream to be sent and acknowledged", || {
            self.feeder.is_through() && self.socket.unsent().is_ok_and(|unsent| unsent.packets == 0)
        });
    }

    /// Closes the connection.
    pub fn close(self) {
        self.feeder.stop();
        drop(self.socket);
    }
}
