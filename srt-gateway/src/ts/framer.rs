//! From messages to packets: finds the packet boundaries in what arrives.
//!
//! Owns the beginning of a packet whose rest is in the next message, for senders that cut their stream anywhere.
//! Runs on the input's worker, for each message. Accepts 188-byte packets at any alignment, and messages that are
//! made of 204-byte packets (16 parity bytes at the end of each). Judges nothing but sync bytes.

use super::packet::{PACKET_LEN, SYNC};

/// Length of a packet with its Reed-Solomon parity.
const PARITY_PACKET_LEN: usize = 204;

/// What one message came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    /// Packets completed.
    pub(super) packets: u64,
    /// Bytes that belong to no packet.
    pub(super) skipped: usize,
    /// Times that packets were followed by something else.
    pub(super) sync_losses: u64,
}

/// Cuts messages into packets.
///
/// ```text
///            two sync bytes in their places, or one where the message ends before the second
///   searching ────────────────────────────────────────────────────────────────────────────▶ in sync
///       ▲                                                                                       │
///       └──────────────── no sync byte where the next packet begins: one sync loss ─────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Framer {
    in_sync: bool,
    partial: [u8; PACKET_LEN],
    /// Bytes of `partial` that are there.
    held: usize,
    /// Number of the message in which `partial` begins.
    held_since: u64,
}

impl Framer {
    pub(super) fn new() -> Self {
        Self {
            in_sync: false,
            partial: [0; PACKET_LEN],
            held: 0,
            held_since: 0,
        }
    }

    /// Hands every packet that ends in `message`, which has the number `at`, to `each`, with the number of the
    /// message in which it begins.
    pub(super) fn split(
        &mut self,
        message: &[u8],
        at: u64,
        mut each: impl FnMut(&[u8; PACKET_LEN], u64),
    ) -> Framing {
        let mut framing = Framing::default();
        if is_parity_framed(message) {
            self.held = 0;
            self.in_sync = true;
            for packet in message
                .chunks_exact(PARITY_PACKET_LEN)
                .filter_map(|chunk| chunk.first_chunk())
            {
                framing.packets += 1;
                each(packet, at);
            }
            return framing;
        }
        let mut rest = self.complete_partial(message, &mut framing, &mut each);
        while !rest.is_empty() {
            if rest[0] != SYNC || !self.in_sync {
                rest = self.search(rest, &mut framing);
            }
            match rest.split_first_chunk() {
                Some((packet, after)) => {
                    framing.packets += 1;
                    each(packet, at);
                    rest = after;
                }
                None => {
                    self.hold(rest, at);
                    break;
                }
            }
        }
        framing
    }

    /// Ends the packet that earlier messages began; returns what of `message` comes after it.
    fn complete_partial<'m>(
        &mut self,
        message: &'m [u8],
        framing: &mut Framing,
        each: &mut impl FnMut(&[u8; PACKET_LEN], u64),
    ) -> &'m [u8] {
        if self.held == 0 {
            return message;
        }
        let (end, after) = message.split_at(message.len().min(PACKET_LEN - self.held));
        if after.first().is_some_and(|byte| *byte != SYNC) {
            // A message is missing, or the packet was cut off for good: this message stands for itself.
            framing.skipped += self.held;
            self.lose_sync(framing);
            self.held = 0;
            return message;
        }
        self.partial[self.held..self.held + end.len()].copy_from_slice(end);
        self.held += end.len();
        if self.held == PACKET_LEN {
            self.held = 0;
            framing.packets += 1;
            each(&self.partial, self.held_since);
        }
        after
    }

    /// Skips to where a packet may begin; to the end when nothing looks like one.
    fn search<'m>(&mut self, bytes: &'m [u8], framing: &mut Framing) -> &'m [u8] {
        self.lose_sync(framing);
        let begins =
            |at: &usize| bytes[*at] == SYNC && bytes.get(at + PACKET_LEN).is_none_or(|next| *next == SYNC);
        let start = (0..bytes.len()).find(begins);
        self.in_sync = start.is_some();
        let (skipped, rest) = bytes.split_at(start.unwrap_or(bytes.len()));
        framing.skipped += skipped.len();
        rest
    }

    fn lose_sync(&mut self, framing: &mut Framing) {
        if self.in_sync {
            self.in_sync = false;
            framing.sync_losses += 1;
        }
    }

    fn hold(&mut self, beginning: &[u8], at: u64) {
        self.partial[..beginning.len()].copy_from_slice(beginning);
        self.held = beginning.len();
        self.held_since = at;
    }
}

/// Whether a message is made of 204-byte packets. At most 1456 bytes, it cannot be made of 188-byte ones as well.
fn is_parity_framed(message: &[u8]) -> bool {
    let mut packets = message.chunks_exact(PARITY_PACKET_LEN);
    !message.is_empty()
        && packets.remainder().is_empty()
        && !message.len().is_multiple_of(PACKET_LEN)
        && packets.all(|packet| packet[0] == SYNC)
        // One packet alone may as well be the first 204 bytes of 188-byte packets.
        && (message.len() > PARITY_PACKET_LEN || message[PACKET_LEN] != SYNC)
}
