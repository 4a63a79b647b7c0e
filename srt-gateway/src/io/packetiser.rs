//! Cuts a stream's messages to the size that an output carries: whole TS packets, at most `limit` bytes at a time.
//!
//! Owned by one output, on the thread that serves it. Pure: no sockets and no clock. It never changes bytes or their
//! order, only the boundaries between sends. ISO/IEC 13818-1 packets of 188 bytes, and of 204 bytes with Reed-Solomon
//! parity, stay whole wherever the limit has room for one.

/// Packet lengths: plain, and with 16 bytes of parity.
const STRIDES: [usize; 2] = [188, 204];

const SYNC: u8 = 0x47;

/// How an output treats a message that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundaries {
    /// Any message that fits is sent unchanged: SRT preserves message boundaries.
    Keep,
    /// A message that fits is sent unchanged only if it holds whole TS packets, or none: according to RFC 2250, section
    /// 2, and for receivers of plain UDP, datagrams begin with a packet.
    WholePackets,
}

/// The packetiser of one output.
///
/// ```text
///               message of whole packets
///   aligned ─────────────────────────────▶ aligned      sent as it came, or in groups of packets
///      │  message that ends inside a packet
///      └─────────────────────────────────▶ holding      the beginning of that packet is held back
///   holding ── its rest, then packets ───▶ aligned or holding
///   holding ── anything else ────────────▶ aligned      what was held goes out by itself
/// ```
#[derive(Debug)]
pub(crate) struct Packetiser {
    limit: usize,
    boundaries: Boundaries,
    /// The last detected packet length.
    stride: usize,
    /// Accepted and unsent: complete pieces up to `ready`, then the beginning of an incomplete packet.
    buffer: Vec<u8>,
    /// Ends of the complete pieces in `buffer`.
    pieces: Vec<usize>,
    /// The number of pieces already sent.
    sent: usize,
}

impl Packetiser {
    /// Creates a packetiser for sends of at most `limit` bytes (at least 1).
    pub(crate) fn new(limit: usize, boundaries: Boundaries) -> Self {
        Self {
            limit: limit.max(1),
            boundaries,
            stride: STRIDES[0],
            buffer: Vec::new(),
            pieces: Vec::new(),
            sent: 0,
        }
    }

    /// Sends `message`, or what it completes, with `send`. `Ok` means that the message was accepted; the packetiser
    /// holds back at most the beginning of a packet. After an error, nothing of `message` was accepted if
    /// [`is_pending`] was false before and is still false; otherwise the packetiser has all of it, and [`flush_ready`]
    /// sends the rest.
    ///
    /// [`is_pending`]: Self::is_pending
    /// [`flush_ready`]: Self::flush_ready
    ///
    /// # Errors
    /// Errors of `send`.
    pub(crate) fn push<E>(
        &mut self,
        message: &[u8],
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.flush_ready(&mut send)?;
        if self.buffer.is_empty() && message.len() <= self.limit && self.goes_as_it_came(message) {
            return send(message);
        }
        self.accept(message);
        self.flush_ready(&mut send)
    }

    /// Whether complete pieces are left from a failed send.
    pub(crate) fn is_pending(&self) -> bool {
        self.sent < self.pieces.len()
    }

    /// Sends the complete pieces that a failed send has left.
    ///
    /// # Errors
    /// Errors of `send`: the next call repeats the piece that failed.
    pub(crate) fn flush_ready<E>(&mut self, mut send: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while let Some(end) = self.pieces.get(self.sent) {
            let begin = self.sent.checked_sub(1).map_or(0, |before| self.pieces[before]);
            send(&self.buffer[begin..*end])?;
            self.sent += 1;
        }
        if let Some(end) = self.pieces.last() {
            self.buffer.drain(..*end);
            self.pieces.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Sends everything, including an incomplete packet, because the stream pauses or restarts.
    ///
    /// # Errors
    /// Errors of `send`.
    pub(crate) fn flush<E>(&mut self, send: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let begin = self.pieces.last().copied().unwrap_or(0);
        self.mark(begin, self.buffer.len(), self.limit);
        self.flush_ready(send)
    }

    /// Discards held data, because the output skips ahead in the stream.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.pieces.clear();
        self.sent = 0;
    }

    fn goes_as_it_came(&self, message: &[u8]) -> bool {
        match self.boundaries {
            Boundaries::Keep => true,
            Boundaries::WholePackets => match Alignment::of(message, self.stride) {
                Alignment::Packets { lead, stride } => lead == 0 && message.len().is_multiple_of(stride),
                Alignment::Other => true,
            },
        }
    }

    /// Adds `message` to the buffer, which must have no ready pieces.
    fn accept(&mut self, message: &[u8]) {
        let held = self.buffer.len();
        if held > 0 && !continues(&self.buffer, message, self.stride) {
            self.mark(0, held, self.limit);
        }
        let begin = self.pieces.last().copied().unwrap_or(0);
        self.buffer.extend_from_slice(message);
        match Alignment::of(&self.buffer[begin..], self.stride) {
            Alignment::Packets { lead, stride } => {
                self.stride = stride;
                let first = begin + lead;
                self.mark(begin, first, self.limit);
                let whole = (self.buffer.len() - first) / stride * stride;
                let group = (self.limit / stride * stride).max(self.limit.min(stride));
                self.mark(first, first + whole, group);
            }
            Alignment::Other => self.mark(begin, self.buffer.len(), self.limit),
        }
    }

    /// Marks `buffer[begin..end]` as complete pieces of at most `size` bytes.
    fn mark(&mut self, begin: usize, end: usize, size: usize) {
        let mut at = begin;
        while at < end {
            at = (at + size).min(end);
            self.pieces.push(at);
        }
    }
}

/// The positions of TS packets in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    /// `lead` bytes that end a packet, then packets; the last one may be incomplete.
    Packets { lead: usize, stride: usize },
    /// No MPEG-TS.
    Other,
}

impl Alignment {
    /// Checks every position where a sync byte must be, trying the packet length `likely` first. A lead is accepted
    /// only if at least two sync bytes follow it.
    fn of(bytes: &[u8], likely: usize) -> Self {
        let other = STRIDES[usize::from(likely == STRIDES[0])];
        for stride in [likely, other] {
            if is_packets(bytes, stride) {
                return Self::Packets { lead: 0, stride };
            }
        }
        for stride in [likely, other] {
            let leads = 1..stride.min(bytes.len());
            let lead = leads.into_iter().find(|lead| {
                let rest = &bytes[*lead..];
                rest.len() > stride && is_packets(rest, stride)
            });
            if let Some(lead) = lead {
                return Self::Packets { lead, stride };
            }
        }
        Self::Other
    }
}

/// Whether there is a sync byte at the start of every packet.
fn is_packets(bytes: &[u8], stride: usize) -> bool {
    !bytes.is_empty() && bytes.iter().step_by(stride).all(|byte| *byte == SYNC)
}

/// Whether `message` continues the packet that `held` begins.
fn continues(held: &[u8], message: &[u8], stride: usize) -> bool {
    let missing = stride.saturating_sub(held.len() % stride);
    match message.get(missing..) {
        // The message ends before the packet does: it is assumed to continue the packet, unless it begins one itself.
        None | Some([]) => !is_packets(message, stride) || message.len() < missing,
        Some(rest) => is_packets(rest, stride),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn packets(stride: usize, count: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|number| {
                let mut packet = vec![u8::try_from(number % 0x40).unwrap(); stride];
                packet[0] = SYNC;
                packet
            })
            .collect()
    }

    /// The output for `messages`, including a final flush.
    fn run(limit: usize, boundaries: Boundaries, messages: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut packetiser = Packetiser::new(limit, boundaries);
        let mut take = |piece: &[u8]| -> Result<(), Infallible> {
            out.push(piece.to_vec());
            Ok(())
        };
        for message in messages {
            packetiser.push(message, &mut take).unwrap();
        }
        packetiser.flush(&mut take).unwrap();
        out
    }

    fn lengths(pieces: &[Vec<u8>]) -> Vec<usize> {
        pieces.iter().map(Vec::len).collect()
    }

    #[test]
    fn messages_that_fit_keep_their_boundaries() {
        let stream = packets(188, 7);
        for boundaries in [Boundaries::Keep, Boundaries::WholePackets] {
            let out = run(1456, boundaries, &[&stream, &stream[..188], &stream]);
            assert_eq!(lengths(&out), [1316, 188, 1316]);
        }
    }

    #[test]
    fn a_small_segment_size_gets_whole_packets() {
        // SRT over MSS 1300: 1300 - 28 - 16 = 1256 bytes.
        let out = run(1256, Boundaries::Keep, &[&packets(188, 7)]);
        assert_eq!(lengths(&out), [1128, 188]);
    }

    #[test]
    fn messages_cut_anywhere_become_datagrams_of_whole_packets() {
        // 1456: srt-live-transmit; 1472: ffmpeg over UDP; 1264 and 100: neither a multiple of 188.
        for cut in [1456, 1472, 1264, 100, 1316, 189, 187] {
            let stream = packets(188, 64);
            let messages: Vec<_> = stream.chunks(cut).collect();
            let out = run(1316, Boundaries::WholePackets, &messages);
            assert_eq!(out.concat(), stream, "cut {cut}");
            for piece in &out {
                assert!(
                    piece.len() % 188 == 0 && piece[0] == SYNC,
                    "cut {cut}: {}",
                    piece.len()
                );
                assert!(piece.len() <= 1316);
            }
        }
    }

    #[test]
    fn packets_with_parity_stay_whole() {
        let stream = packets(204, 42);
        let messages: Vec<_> = stream.chunks(1456).collect();
        let out = run(1316, Boundaries::WholePackets, &messages);
        assert_eq!(out.concat(), stream);
        assert!(
            out.iter()
                .all(|piece| piece.len() % 204 == 0 && piece.len() <= 1316)
        );
    }

    #[test]
    fn an_output_that_joins_inside_a_packet_finds_the_next_one() {
        let stream = packets(188, 32);
        let messages: Vec<_> = stream[100..].chunks(1456).collect();
        let out = run(1316, Boundaries::WholePackets, &messages);
        assert_eq!(out.concat(), &stream[100..]);
        assert_eq!(out[0].len(), 88);
        assert!(
            out[1..]
                .iter()
                .all(|piece| piece.len() % 188 == 0 && piece[0] == SYNC)
        );
    }

    #[test]
    fn messages_that_are_no_ts_pass_as_they_came_or_in_pieces_of_the_limit() {
        let text = [b'x'; 1400];
        assert_eq!(
            lengths(&run(1456, Boundaries::WholePackets, &[&text, &text[..7]])),
            [1400, 7]
        );
        assert_eq!(lengths(&run(1000, Boundaries::Keep, &[&text])), [1000, 400]);
        let stream = packets(188, 8);
        let out = run(
            1316,
            Boundaries::WholePackets,
            &[&stream[..1456], &text, &stream[..188]],
        );
        assert_eq!(lengths(&out), [1316, 140, 1316, 84, 188]);
    }

    #[test]
    fn a_limit_below_a_packet_is_kept() {
        let out = run(100, Boundaries::Keep, &[&packets(188, 2)]);
        assert!(out.iter().all(|piece| piece.len() <= 100));
        assert_eq!(out.concat(), packets(188, 2));
    }

    #[test]
    fn a_send_that_fails_is_repeated_and_nothing_is_lost_or_sent_twice() {
        let stream = packets(188, 200);
        for cut in [1456, 1316, 188, 1000] {
            let mut packetiser = Packetiser::new(1128, Boundaries::Keep);
            let (mut out, mut calls) = (Vec::new(), 0_u32);
            let mut send = |piece: &[u8]| {
                calls += 1;
                if calls % 3 == 1 {
                    return Err(());
                }
                out.extend_from_slice(piece);
                Ok(())
            };
            for message in stream.chunks(cut) {
                while packetiser.push(message, &mut send).is_err() {
                    if packetiser.is_pending() {
                        while packetiser.flush_ready(&mut send).is_err() {}
                        break;
                    }
                }
            }
            while packetiser.flush(&mut send).is_err() {}
            assert!(out == stream, "cut {cut}");
        }
    }

    #[test]
    fn whatever_comes_leaves_byte_for_byte_within_the_limit() {
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..2_000 {
            let limit = 1 + random(1456);
            let boundaries = [Boundaries::Keep, Boundaries::WholePackets][random(2)];
            let messages: Vec<Vec<u8>> = (0..random(20))
                .map(|_| match random(4) {
                    0 => (0..1 + random(1456))
                        .map(|_| u8::try_from(random(256)).unwrap())
                        .collect(),
                    1 => packets(204, 1 + random(7)),
                    2 => packets(188, 8)[random(188)..][..1 + random(1200)].to_vec(),
                    _ => packets(188, 1 + random(7)),
                })
                .collect();
            let all: Vec<_> = messages.iter().map(Vec::as_slice).collect();
            let out = run(limit, boundaries, &all);
            assert!(out.concat() == messages.concat());
            assert!(out.iter().all(|piece| !piece.is_empty() && piece.len() <= limit));
        }
    }
}
