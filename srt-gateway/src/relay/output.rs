//! An output's thread: receives messages from its channel and writes each as a whole.

use std::{
    fs::File,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use srt_safe::{ErrorKind, MessageOptions, SocketState, SourceTime, SrtSocket, opt};

use super::{End, POLL_INTERVAL, RelayEndpoint, RelayMessage, Shared, Timing, resolve};
use crate::{
    config::{SrtTarget, UdpTarget},
    control,
    data::MESSAGE_MAX,
    io::{
        FileKinds, FileOut, Sink, UdpOut, Wrapping,
        packetiser::{Boundaries, Packetiser},
    },
    peer::ConnectError,
};

/// How long the shutdown waits for data that libsrt has not delivered.
const DELIVERY: Duration = Duration::from_secs(5);

/// The time for a receiver's application to read what has become due.
const MARGIN: Duration = Duration::from_millis(300);

type MessageQueue = Receiver<RelayMessage>;

/// How often files are flushed.
const TICK: Duration = Duration::from_millis(500);

/// Runs until the input has ended and everything is written.
pub(super) fn run(shared: &Shared, end: &End, messages: &MessageQueue) {
    let write = match &end.endpoint {
        RelayEndpoint::Srt(target, _) => return send(shared, end, target, messages),
        RelayEndpoint::Datagrams(target, wrapping, _) => {
            return datagrams(shared, end, (target, *wrapping), messages);
        }
        RelayEndpoint::Clocked(file) => {
            let mut sink = FileOut::new(file.path.clone(), file.segment, FileKinds::Any);
            end.set_open(true);
            if let Some(error) = write_messages(shared, end, &mut sink, messages) {
                shared.fail(format!("{}: {error}", end.endpoint));
            }
            return;
        }
        RelayEndpoint::Console => Ok(Box::new(io::stdout()) as Box<dyn Write>),
        RelayEndpoint::File(path) => File::create(path).map(|file| Box::new(file) as Box<dyn Write>),
    };
    let done = write.and_then(|mut sink| {
        end.set_open(true);
        while let Some(message) = next(shared, messages) {
            sink.write_all(&message.bytes)?;
            end.count(message.bytes.len());
            // A pipe has a reader that waits for the data.
            if messages.is_empty() {
                sink.flush()?;
            }
        }
        sink.flush()
    });
    if let Err(error) = done {
        shared.fail(format!("{}: {error}", end.endpoint));
    }
}

/// The next message; None if there will be none.
fn next(shared: &Shared, messages: &MessageQueue) -> Option<RelayMessage> {
    loop {
        match messages.recv_timeout(POLL_INTERVAL) {
            Ok(message) => return Some(message),
            Err(RecvTimeoutError::Timeout) if !shared.is_stopped() => {}
            Err(_) => return None,
        }
    }
}

fn datagrams(
    shared: &Shared,
    end: &End,
    (target, wrapping): (&UdpTarget, Wrapping),
    messages: &MessageQueue,
) {
    loop {
        let opened = shared.again(end, || {
            let missing = || ConnectError::Options("the URL has no host to send to".to_owned());
            let to = resolve(target)?.ok_or_else(missing)?;
            let options = control::udp_options(target);
            UdpOut::open(&options, to, target.payload_size, wrapping).map_err(ConnectError::Socket)
        });
        let Some(mut sink) = opened else { return };
        end.set_open(true);
        tracing::info!(url = %end.endpoint, "open");
        match write_messages(shared, end, &mut sink, messages) {
            None => return end.set_open(false),
            Some(error) => {
                shared.lost(end, &error);
                shared.pause();
            }
        }
    }
}

/// Writes until the input has ended, or the sink fails.
fn write_messages(
    shared: &Shared,
    end: &End,
    sink: &mut dyn Sink,
    messages: &MessageQueue,
) -> Option<io::Error> {
    let mut flushed = Instant::now();
    while let Some(message) = next(shared, messages) {
        let now = Instant::now();
        match sink.send(&message.bytes, now) {
            Ok(()) => end.count(message.bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => end.drop_one(),
            Err(error) => return Some(error),
        }
        if now.saturating_duration_since(flushed) >= TICK {
            flushed = now;
            if let Err(error) = sink.flush() {
                return Some(error);
            }
        }
    }
    sink.flush().err()
}

fn send(shared: &Shared, end: &End, target: &SrtTarget, messages: &MessageQueue) {
    let mut pending = None;
    while let Some(socket) = shared.connect(end, target) {
        let mut sending = Sending {
            shared,
            end,
            packetiser: packetiser(&socket, target),
            pieces: Pieces {
                shared,
                socket: &socket,
                last: socket.connected_at().ok(),
            },
        };
        match sending.all(messages, &mut pending) {
            Ok(()) => {
                deliver(&socket);
                return end.set_socket(None);
            }
            Err(error) => shared.closed(end, &error),
        }
    }
}

/// Cuts messages to the configured size, and to the peer's packet size.
fn packetiser(socket: &SrtSocket, target: &SrtTarget) -> Packetiser {
    let peer = socket.max_message_size().unwrap_or(MESSAGE_MAX);
    let limit = target
        .payload_size
        .map_or(peer, |size| usize::from(size).min(peer));
    Packetiser::new(limit, Boundaries::Keep)
}

/// A connection that messages are sent on.
struct Sending<'s> {
    shared: &'s Shared,
    end: &'s End,
    /// Cuts messages that do not fit the peer's packets.
    packetiser: Packetiser,
    pieces: Pieces<'s>,
}

/// Sends pieces that fit a packet.
struct Pieces<'s> {
    shared: &'s Shared,
    socket: &'s SrtSocket,
    /// The timestamp of the last message, which must not decrease.
    last: Option<SourceTime>,
}

impl Sending<'_> {
    /// Sends until the input has ended. A message that a lost connection did not accept stays in `pending` for the next
    /// connection.
    fn all(&mut self, messages: &MessageQueue, pending: &mut Option<RelayMessage>) -> srt_safe::Result<()> {
        loop {
            let Some(message) = pending.take().or_else(|| next(self.shared, messages)) else {
                return self.rest();
            };
            if let Err(error) = self.message(&message.bytes, message.due) {
                *pending = Some(message);
                return Err(error);
            }
            self.end.count(message.bytes.len());
        }
    }

    fn message(&mut self, bytes: &[u8], due: Option<SourceTime>) -> srt_safe::Result<()> {
        let pieces = &mut self.pieces;
        self.packetiser.push(bytes, |piece| pieces.send(piece, due))
    }

    /// Sends the beginning of a packet that the input never completed.
    fn rest(&mut self) -> srt_safe::Result<()> {
        let pieces = &mut self.pieces;
        self.packetiser.flush(|piece| pieces.send(piece, None))
    }
}

impl Pieces<'_> {
    /// Sends one message, however long the peer makes it wait, unless the relay ends.
    fn send(&mut self, bytes: &[u8], due: Option<SourceTime>) -> srt_safe::Result<()> {
        let due = due.filter(|due| {
            self.shared.timing == Timing::OfSource && self.last.is_some_and(|last| *due > last)
        });
        let options = due.map_or_else(MessageOptions::new, |due| MessageOptions::new().source_time(due));
        self.last = Some(due.unwrap_or_else(SourceTime::now));
        loop {
            match self.socket.send_message(bytes, options) {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                    if self.shared.is_stopped() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until the peer has received everything and its latency has passed: some receivers (srt-live-transmit) discard
/// what is not due yet when the connection ends.
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
