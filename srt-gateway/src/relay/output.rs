//! An output's thread: takes messages from its channel and writes each whole.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use srt_safe::{ErrorKind, SocketState, SrtSocket, opt};

use super::{End, LOOK, Place, Shared};
use crate::config::SrtTarget;

/// How long the end waits for what libsrt has not delivered yet.
const DELIVERY: Duration = Duration::from_secs(5);

/// For a receiver's application to take what has become due.
const MARGIN: Duration = Duration::from_millis(300);

type Messages = Receiver<Arc<[u8]>>;

/// Runs until the input is through and all is written.
pub(super) fn run(shared: &Shared, end: &End, messages: &Messages) {
    let write = match &end.place {
        Place::Srt(target, _) => return send(shared, end, target, messages),
        Place::Console => Ok(Box::new(io::stdout()) as Box<dyn Write>),
        Place::File(path) => File::create(path).map(|file| Box::new(file) as Box<dyn Write>),
    };
    let done = write.and_then(|mut sink| {
        end.open.store(true, Relaxed);
        while let Some(message) = next(shared, messages) {
            sink.write_all(&message)?;
            end.count(message.len());
            // A pipe is read by somebody who waits for it.
            if messages.is_empty() {
                sink.flush()?;
            }
        }
        sink.flush()
    });
    if let Err(error) = done {
        shared.fail(format!("{}: {error}", end.place));
    }
}

/// The next message; None when there will be none.
fn next(shared: &Shared, messages: &Messages) -> Option<Arc<[u8]>> {
    loop {
        match messages.recv_timeout(LOOK) {
            Ok(message) => return Some(message),
            Err(RecvTimeoutError::Timeout) if !shared.is_stopped() => {}
            Err(_) => return None,
        }
    }
}

fn send(shared: &Shared, end: &End, target: &SrtTarget, messages: &Messages) {
    let mut pending = None;
    while let Some(socket) = shared.connect(end, target) {
        match send_on(shared, end, &socket, messages, &mut pending) {
            Ok(()) => {
                deliver(&socket);
                return end.set_socket(None);
            }
            Err(error) => shared.lost(end, &error),
        }
    }
}

/// Sends until the input is through. A message that a lost connection did not take stays in `pending` for the next one.
fn send_on(
    shared: &Shared,
    end: &End,
    socket: &SrtSocket,
    messages: &Messages,
    pending: &mut Option<Arc<[u8]>>,
) -> srt_safe::Result<()> {
    loop {
        let Some(message) = pending.take().or_else(|| next(shared, messages)) else {
            return Ok(());
        };
        match socket.send(&message) {
            Ok(_) => end.count(message.len()),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                if shared.is_stopped() {
                    return Ok(());
                }
                *pending = Some(message);
            }
            Err(error) => {
                *pending = Some(message);
                return Err(error);
            }
        }
    }
}

/// Waits until the peer has what was sent, and its latency has passed: some receivers (srt-live-transmit) throw away what is
/// not due yet when the connection ends.
fn deliver(socket: &SrtSocket) {
    let end = Instant::now() + DELIVERY;
    while Instant::now() < end && socket.unsent().is_ok_and(|unsent| unsent.packets > 0) {
        thread::sleep(Duration::from_millis(10));
    }
    let due = Instant::now() + socket.option::<opt::PeerLatency>().unwrap_or_default() + MARGIN;
    while Instant::now() < due.min(end) && socket.state() == SocketState::Connected {
        thread::sleep(Duration::from_millis(10));
    }
}
