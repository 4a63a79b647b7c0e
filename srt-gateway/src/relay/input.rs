//! The input's thread: reads messages and passes each to every output.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use srt_safe::{ErrorKind, SourceTime};

use super::{End, POLL_INTERVAL, RelayEndpoint, RelayMessage, Shared, resolve};
use crate::{
    config::{FileTarget, SrtTarget, UdpTarget},
    control,
    io::{AtEnd, CloseReason, FileKinds, Transport, UdpIn, Wrapping, open_and_wait, open_input},
    peer::ConnectError,
};

/// A handle to an output.
#[derive(Debug)]
pub(super) struct OutputHandle {
    pub(super) end: Arc<End>,
    pub(super) sender: Sender<RelayMessage>,
}

/// Runs until the input ends. Outputs notice its end by their channel.
pub(super) fn run(shared: &Shared, end: &End, outputs: &[OutputHandle], chunk: usize) {
    let read = match &end.endpoint {
        RelayEndpoint::Srt(target, _) => return receive(shared, end, target, outputs),
        RelayEndpoint::Datagrams(target, wrapping, _) => {
            return datagrams(shared, end, (target, *wrapping), outputs);
        }
        RelayEndpoint::Clocked(file) => return clocked(shared, end, file, outputs),
        RelayEndpoint::Console => Ok(Box::new(io::stdin()) as Box<dyn Read>),
        RelayEndpoint::File(path) => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    if !wait_for_outputs(shared, outputs) {
        return;
    }
    let done = read.and_then(|mut source| copy(shared, end, source.as_mut(), outputs, chunk));
    if let Err(error) = done {
        shared.fail(format!("{}: {error}", end.endpoint));
    }
}

/// Data read before an output can accept it would be lost. Returns false if the relay ends.
fn wait_for_outputs(shared: &Shared, outputs: &[OutputHandle]) -> bool {
    while !outputs.iter().all(|output| output.end.open.load(Relaxed)) {
        if shared.is_stopped() {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

fn copy(
    shared: &Shared,
    end: &End,
    source: &mut dyn Read,
    outputs: &[OutputHandle],
    chunk: usize,
) -> io::Result<()> {
    let mut buffer = vec![0; chunk];
    end.set_open(true);
    while !shared.is_stopped() {
        let mut length = 0;
        while length < chunk {
            match source.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if length == 0 {
            return Ok(());
        }
        forward(shared, end, (&buffer[..length], None), outputs);
    }
    Ok(())
}

fn receive(shared: &Shared, end: &End, target: &SrtTarget, outputs: &[OutputHandle]) {
    let mut buffer = [0; crate::data::MESSAGE_MAX];
    while let Some(socket) = shared.connect(end, target) {
        let mut last = Instant::now();
        loop {
            match socket.recv_message(&mut buffer) {
                Ok((length, info)) => {
                    last = Instant::now();
                    forward(shared, end, (&buffer[..length], info.source_time), outputs);
                }
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                    if shared.is_stopped() {
                        return end.set_socket(None);
                    }
                    if let Some(limit) = silent_for(last, target) {
                        shared.lost(end, &CloseReason::NoData(limit));
                        break;
                    }
                }
                Err(error) => {
                    shared.closed(end, &error);
                    break;
                }
            }
        }
    }
}

/// The `timeout` of the URL, if there was no data for longer.
fn silent_for(last: Instant, target: &SrtTarget) -> Option<Duration> {
    target.settings.timeout.filter(|limit| last.elapsed() > *limit)
}

fn datagrams(
    shared: &Shared,
    end: &End,
    (target, wrapping): (&UdpTarget, Wrapping),
    outputs: &[OutputHandle],
) {
    loop {
        let opened = shared.again(end, || {
            let options = control::udp_options(target);
            let (socket, sender) = open_input(&options, resolve(target)?).map_err(ConnectError::Socket)?;
            Ok::<_, ConnectError>(UdpIn::new(socket, sender, wrapping))
        });
        let Some(mut transport) = opened else { return };
        end.set_open(true);
        tracing::info!(url = %end.endpoint, "open");
        match run_transport(shared, end, &mut transport, outputs) {
            None => return end.set_open(false),
            Some(reason) => {
                shared.lost(end, &reason);
                shared.pause();
            }
        }
    }
}

fn clocked(shared: &Shared, end: &End, file: &FileTarget, outputs: &[OutputHandle]) {
    if !wait_for_outputs(shared, outputs) {
        return;
    }
    let at_end = if file.repeat { AtEnd::Repeat } else { AtEnd::Stop };
    let reason = match open_and_wait(file.path.clone(), at_end, FileKinds::Any) {
        Ok(mut transport) => {
            end.set_open(true);
            run_transport(shared, end, &mut transport, outputs).map(|reason| match reason {
                CloseReason::EndOfFile => None,
                other => Some(other.to_string()),
            })
        }
        Err(error) => Some(Some(error.to_string())),
    };
    if let Some(Some(why)) = reason {
        shared.fail(format!("{}: {why}", end.endpoint));
    }
}

/// Forwards the messages of a transport. None: the relay ends; otherwise why the transport ended.
fn run_transport(
    shared: &Shared,
    end: &End,
    transport: &mut dyn Transport,
    outputs: &[OutputHandle],
) -> Option<CloseReason> {
    while !shared.is_stopped() {
        let mut take = |message: &[u8]| forward(shared, end, (message, None), outputs);
        if let Err(reason) = transport.receive(Instant::now(), &mut take) {
            return Some(reason);
        }
    }
    None
}

fn forward(shared: &Shared, end: &End, (bytes, due): (&[u8], Option<SourceTime>), outputs: &[OutputHandle]) {
    end.count(bytes.len());
    let message = RelayMessage {
        bytes: bytes.into(),
        due,
    };
    for output in outputs {
        let message = message.clone();
        if end.endpoint.is_patient() {
            wait_for_room(shared, output, message);
        } else if let Err(TrySendError::Full(_)) = output.sender.try_send(message) {
            output.end.drop_one();
        }
    }
}

fn wait_for_room(shared: &Shared, output: &OutputHandle, mut message: RelayMessage) {
    while let Err(SendTimeoutError::Timeout(back)) = output.sender.send_timeout(message, POLL_INTERVAL) {
        if shared.is_stopped() {
            return;
        }
        message = back;
    }
}
