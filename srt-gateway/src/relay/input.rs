//! The input's thread: reads messages and hands each to every output.

use std::{
    fs::File,
    io::{self, Read},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use srt_safe::ErrorKind;

use super::{End, LOOK, MESSAGE_MAX, Place, Shared};
use crate::config::SrtTarget;

/// The way to an output.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) end: Arc<End>,
    pub(super) sender: Sender<Arc<[u8]>>,
}

/// Runs until the input is through. Outputs see its end by their channel.
pub(super) fn run(shared: &Shared, end: &End, ways: &[Way], chunk: usize) {
    let read = match &end.place {
        Place::Srt(target, _) => return receive(shared, end, target, ways),
        Place::Console => Ok(Box::new(io::stdin()) as Box<dyn Read>),
        Place::File(path) => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    // What is read before somebody can take it would be lost.
    while !ways.iter().all(|way| way.end.open.load(Relaxed)) {
        if shared.is_stopped() {
            return;
        }
        thread::sleep(LOOK);
    }
    let done = read.and_then(|mut source| copy(shared, end, source.as_mut(), ways, chunk));
    if let Err(error) = done {
        shared.fail(format!("{}: {error}", end.place));
    }
}

fn copy(shared: &Shared, end: &End, source: &mut dyn Read, ways: &[Way], chunk: usize) -> io::Result<()> {
    let mut buffer = vec![0; chunk];
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
        hand_on(shared, end, &buffer[..length], ways);
    }
    Ok(())
}

fn receive(shared: &Shared, end: &End, target: &SrtTarget, ways: &[Way]) {
    let mut buffer = [0; MESSAGE_MAX];
    while let Some(socket) = shared.connect(end, target) {
        let error = loop {
            match socket.recv(&mut buffer) {
                Ok(length) => hand_on(shared, end, &buffer[..length], ways),
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                    if shared.is_stopped() {
                        return end.set_socket(None);
                    }
                }
                Err(error) => break error,
            }
        };
        shared.lost(end, &error);
    }
}

fn hand_on(shared: &Shared, end: &End, bytes: &[u8], ways: &[Way]) {
    end.count(bytes.len());
    let message: Arc<[u8]> = bytes.into();
    for way in ways {
        let message = Arc::clone(&message);
        if end.place.is_patient() {
            wait_for_room(shared, way, message);
        } else if let Err(TrySendError::Full(_)) = way.sender.try_send(message) {
            way.end.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn wait_for_room(shared: &Shared, way: &Way, mut message: Arc<[u8]>) {
    while let Err(SendTimeoutError::Timeout(back)) = way.sender.send_timeout(message, LOOK) {
        if shared.is_stopped() {
            return;
        }
        message = back;
    }
}
