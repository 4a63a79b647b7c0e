//! Splits messages into packets: finds the packet boundaries in the received data.
//!
//! Keeps the beginning of a packet whose rest is in the next message, for senders that cut their stream anywhere. Runs
//! on the input's worker, for each message. Accepts packets of 188 bytes, and of 204 bytes (with 16 parity bytes at the
//! end), at any alignment. Checks only sync bytes.

use super::packet::{PACKET_LEN, SYNC};

/// Length of a packet with its Reed-Solomon parity.
const PARITY_PACKET_LEN: usize = 204;

/// The result for one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    /// Packets completed.
    pub(super) packets: u64,
    /// Bytes outside of packets.
    pub(super) skipped: usize,
    /// Positions where a packet should begin and does not.
    pub(super) sync_byte_errors: u64,
    /// How often packets were followed by other data.
    pub(super) sync_losses: u64,
}

/// Splits messages into packets.
///
/// ```text
///            two sync bytes in their places, or one where the message ends before the second
///   searching ────────────────────────────────────────────────────────────────────────────▶ in sync
///       ▲                                                                                    │  ▲
///       │                                                  one wrong sync byte: passed over  └──┘
///       └──────────────── two wrong sync bytes in a row: one sync loss ──────────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Framer {
    in_sync: bool,
    /// The last sync byte was wrong.
    is_doubtful: bool,
    /// Length of a packet.
    stride: usize,
    /// Bytes of the next message to skip: the rest of a packet's parity, or of a packet without sync byte.
    pass: usize,
    partial: [u8; PACKET_LEN],
    /// The number of bytes in `partial`.
    held: usize,
    /// The number of the message in which `partial` begins.
    held_since: u64,
}

impl Framer {
    pub(super) fn new() -> Self {
        Self {
            in_sync: false,
            is_doubtful: false,
            stride: PACKET_LEN,
            pass: 0,
            partial: [0; PACKET_LEN],
            held: 0,
            held_since: 0,
        }
    }

    /// Whether packets have parity.
    pub(super) fn has_parity(&self) -> bool {
        self.stride == PARITY_PACKET_LEN
    }

    /// Calls `each` with every packet that ends in `message`, whose number is `at`, and with the number of the message
    /// in which the packet begins.
    #[inline]
    pub(super) fn split(
        &mut self,
        message: &[u8],
        at: u64,
        mut each: impl FnMut(&[u8; PACKET_LEN], u64),
    ) -> Framing {
        let mut framing = Framing::default();
        if is_parity_framed(message) {
            (self.held, self.pass) = (0, 0);
            (self.in_sync, self.is_doubtful) = (true, false);
            self.stride = PARITY_PACKET_LEN;
        }
        let mut rest = self.pass_over(message);
        rest = self.complete_partial(rest, &mut framing, &mut each);
        while let Some(first) = rest.first() {
            if !self.in_sync {
                rest = self.search(rest, &mut framing);
                continue;
            }
            if *first != SYNC {
                rest = self.miss(rest, &mut framing);
                continue;
            }
            self.is_doubtful = false;
            match rest.split_first_chunk() {
                Some((packet, after)) => {
                    framing.packets += 1;
                    each(packet, at);
                    self.pass = self.stride - PACKET_LEN;
                    rest = self.pass_over(after);
                }
                None => {
                    self.hold(rest, at);
                    break;
                }
            }
        }
        framing
    }

    fn pass_over<'m>(&mut self, bytes: &'m [u8]) -> &'m [u8] {
        let (passed, rest) = bytes.split_at(self.pass.min(bytes.len()));
        self.pass -= passed.len();
        rest
    }

    /// Completes the packet that earlier messages began; returns the rest of `message`.
    fn complete_partial<'m>(
        &mut self,
        message: &'m [u8],
        framing: &mut Framing,
        each: &mut impl FnMut(&[u8; PACKET_LEN], u64),
    ) -> &'m [u8] {
        if self.held == 0 {
            return message;
        }
        let missing = PACKET_LEN - self.held;
        if message
            .get(self.stride - self.held)
            .is_some_and(|byte| *byte != SYNC)
        {
            // A message is missing, or the packet was truncated for good: this message starts a new packet.
            framing.skipped += self.held;
            framing.sync_byte_errors += 1;
            self.lose_sync(framing);
            self.held = 0;
            return message;
        }
        let (end, after) = message.split_at(message.len().min(missing));
        self.partial[self.held..self.held + end.len()].copy_from_slice(end);
        self.held += end.len();
        if self.held < PACKET_LEN {
            return after;
        }
        self.held = 0;
        framing.packets += 1;
        each(&self.partial, self.held_since);
        self.pass = self.stride - PACKET_LEN;
        self.pass_over(after)
    }

    /// Handles a wrong sync byte: the first time, the packet is skipped; the second time in a row, sync is lost.
    #[cold]
    fn miss<'m>(&mut self, bytes: &'m [u8], framing: &mut Framing) -> &'m [u8] {
        framing.sync_byte_errors += 1;
        let is_next_wrong = bytes.get(self.stride).is_some_and(|next| *next != SYNC);
        if self.is_doubtful || is_next_wrong {
            framing.sync_byte_errors += u64::from(is_next_wrong);
            self.lose_sync(framing);
            return bytes;
        }
        self.is_doubtful = true;
        self.pass = self.stride;
        framing.skipped += self.stride.min(bytes.len());
        self.pass_over(bytes)
    }

    /// Skips to a possible start of a packet, or to the end if there is none.
    #[cold]
    fn search<'m>(&mut self, bytes: &'m [u8], framing: &mut Framing) -> &'m [u8] {
        let found = (0..bytes.len()).find_map(|at| Some((at, self.stride_at(bytes, at)?)));
        let (start, stride) = found.unwrap_or((bytes.len(), self.stride));
        self.in_sync = found.is_some();
        self.is_doubtful = false;
        self.stride = stride;
        let (skipped, rest) = bytes.split_at(start);
        framing.skipped += skipped.len();
        rest
    }

    /// The packet length, if a packet seems to begin at `at`.
    fn stride_at(&self, bytes: &[u8], at: usize) -> Option<usize> {
        if bytes[at] != SYNC {
            return None;
        }
        match bytes.get(at + PACKET_LEN) {
            Some(&SYNC) => Some(PACKET_LEN),
            None => Some(self.stride),
            Some(_) => {
                let mut next = [1, 2].map(|n| bytes.get(at + n * PARITY_PACKET_LEN)).into_iter();
                match next.next().flatten() {
                    Some(&SYNC) => next
                        .all(|byte| byte.is_none_or(|byte| *byte == SYNC))
                        .then_some(PARITY_PACKET_LEN),
                    None => self.has_parity().then_some(PARITY_PACKET_LEN),
                    Some(_) => None,
                }
            }
        }
    }

    fn lose_sync(&mut self, framing: &mut Framing) {
        if self.in_sync {
            self.in_sync = false;
            framing.sync_losses += 1;
        }
        self.pass = 0;
    }

    fn hold(&mut self, beginning: &[u8], at: u64) {
        self.partial[..beginning.len()].copy_from_slice(beginning);
        self.held = beginning.len();
        self.held_since = at;
    }
}

/// Whether a message consists of 204-byte packets. With at most 1456 bytes, it cannot consist of 188-byte ones as well.
fn is_parity_framed(message: &[u8]) -> bool {
    let mut packets = message.chunks_exact(PARITY_PACKET_LEN);
    !message.is_empty()
        && packets.remainder().is_empty()
        && !message.len().is_multiple_of(PACKET_LEN)
        && packets.all(|packet| packet[0] == SYNC)
        // A single packet may also be the first 204 bytes of 188-byte packets.
        && (message.len() > PARITY_PACKET_LEN || message[PACKET_LEN] != SYNC)
}
