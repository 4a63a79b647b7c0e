//! Packets after the handshake: the header of 16 bytes, control packets of each type, and data.

use super::handshake::Handshake;

/// Sequence numbers and socket ids of data have 31 bits; the top bit of a word determines its meaning.
pub(super) const TOP: u32 = 1 << 31;

/// A packet as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Carries a message, or a part of one.
    Data(Data),
    /// Everything else.
    Control(Control),
}

/// A data packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// 31 bits.
    pub sequence: u32,
    /// Number of the message, with the flags above it. [`Data::whole`] sets those of a live message.
    pub message: u32,
    /// Microseconds since the sender's start.
    pub timestamp: u32,
    /// Socket id of the receiver.
    pub destination: u32,
    /// Up to 1456 bytes, for a conforming peer.
    pub payload: Vec<u8>,
}

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its type.
    pub kind: Kind,
    /// The subtype of [`Kind::EXTENSION`]; 0 for others.
    pub subtype: u16,
    /// The word whose meaning depends on the kind.
    pub info: u32,
    /// Microseconds since the sender's start.
    pub timestamp: u32,
    /// Socket id of the receiver; 0 for a listener.
    pub destination: u32,
    /// The bytes after the header.
    pub body: Vec<u8>,
}

/// The type of a control packet, of 15 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u16);

impl Kind {
    /// Induction, conclusion, and the answers to them.
    pub const HANDSHAKE: Self = Self(0);
    /// Keeps an idle connection alive.
    pub const KEEPALIVE: Self = Self(1);
    /// Acknowledges received packets.
    pub const ACK: Self = Self(2);
    /// Reports missing packets.
    pub const NAK: Self = Self(3);
    /// The end of the connection.
    pub const SHUTDOWN: Self = Self(5);
    /// The answer to a full [`Kind::ACK`].
    pub const ACKACK: Self = Self(6);
    /// Announces messages that will never arrive.
    pub const DROP_REQUEST: Self = Self(7);
    /// The receiver cannot accept the data (file mode).
    pub const PEER_ERROR: Self = Self(8);
    /// Handshake extensions outside of a handshake, by subtype: mostly key material.
    pub const EXTENSION: Self = Self(0x7FFF);
}

/// An entry of a loss report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// One packet.
    One(u32),
    /// From the first to the last, both included.
    Range(u32, u32),
    /// A raw word, for lists that no correct peer sends.
    Word(u32),
}

impl Data {
    /// A whole message in one packet: first and last of its message, in order, not encrypted, sent for the first time.
    #[must_use]
    pub fn whole(sequence: u32, message: u32, payload: &[u8]) -> Self {
        Self {
            sequence: sequence & !TOP,
            message: (0b111 << 29) | (message & 0x03FF_FFFF),
            timestamp: 0,
            destination: 0,
            payload: payload.to_vec(),
        }
    }

    /// Marks the packet as encrypted with the even key.
    #[must_use]
    pub fn even_key(mut self) -> Self {
        self.message |= 0b01 << 27;
        self
    }
}

impl Control {
    /// A packet of `kind` with `info` in its header and `body` behind it.
    #[must_use]
    pub fn new(kind: Kind, info: u32, body: Vec<u8>) -> Self {
        Self {
            kind,
            subtype: 0,
            info,
            timestamp: 0,
            destination: 0,
            body,
        }
    }

    /// A handshake.
    #[must_use]
    pub fn handshake(handshake: &Handshake) -> Self {
        Self::new(Kind::HANDSHAKE, 0, handshake.encode())
    }

    /// A keep-alive, padded as libsrt pads it.
    #[must_use]
    pub fn keepalive() -> Self {
        Self::new(Kind::KEEPALIVE, 0, words(&[0]))
    }

    /// The end of the connection, padded as libsrt pads it.
    #[must_use]
    pub fn shutdown() -> Self {
        Self::new(Kind::SHUTDOWN, 0, words(&[0]))
    }

    /// Acknowledges everything before `next`, and requests no answer.
    #[must_use]
    pub fn light_ack(next: u32) -> Self {
        Self::new(Kind::ACK, 0, words(&[next]))
    }

    /// Acknowledgement number `number` of everything before `next`, with a round-trip time of 10 ms and room for 8,192
    /// packets. [`Kind::ACKACK`] answers it.
    #[must_use]
    pub fn ack(number: u32, next: u32) -> Self {
        Self::new(
            Kind::ACK,
            number,
            words(&[next, 10_000, 5_000, 8_192, 1_000, 10_000, 1_000_000]),
        )
    }

    /// Answers the acknowledgement `number`, padded as libsrt pads it.
    #[must_use]
    pub fn ackack(number: u32) -> Self {
        Self::new(Kind::ACKACK, number, words(&[0]))
    }

    /// Reports losses.
    #[must_use]
    pub fn nak(losses: &[Loss]) -> Self {
        let mut list = Vec::new();
        for loss in losses {
            match *loss {
                Loss::One(sequence) => list.push(sequence & !TOP),
                Loss::Range(first, last) => list.extend([first | TOP, last & !TOP]),
                Loss::Word(word) => list.push(word),
            }
        }
        Self::new(Kind::NAK, 0, words(&list))
    }

    /// Announces that message `message`, the packets `first` to `last`, will not arrive.
    #[must_use]
    pub fn drop_request(message: u32, first: u32, last: u32) -> Self {
        Self::new(Kind::DROP_REQUEST, message, words(&[first, last]))
    }

    /// Reports that the receiver failed.
    #[must_use]
    pub fn peer_error(code: u32) -> Self {
        Self::new(Kind::PEER_ERROR, code, words(&[0]))
    }

    /// The version, flags and latency of a caller older than SRT 1.3, which sends them once it is connected.
    #[must_use]
    pub fn hs_request(version: u32, latency_ms: u16) -> Self {
        let content = words(&[version, 0b11_1111, u32::from(latency_ms)]);
        Self {
            subtype: 1,
            ..Self::new(Kind::EXTENSION, 0, content)
        }
    }

    /// Key material: a request to change keys, which requires an answer.
    #[must_use]
    pub fn key_request(material: &[u8]) -> Self {
        Self {
            subtype: 3,
            ..Self::new(Kind::EXTENSION, 0, material.to_vec())
        }
    }

    /// Key material: the answer to a request.
    #[must_use]
    pub fn key_response(material: &[u8]) -> Self {
        Self {
            subtype: 4,
            ..Self::new(Kind::EXTENSION, 0, material.to_vec())
        }
    }

    /// The words of the body, without an incomplete last word.
    #[must_use]
    pub fn words(&self) -> Vec<u32> {
        self.body.chunks_exact(4).map(word).collect()
    }
}

impl Packet {
    /// The same packet for the socket `destination`, sent `timestamp` microseconds after the start.
    #[must_use]
    pub fn addressed(mut self, destination: u32, timestamp: u32) -> Self {
        match &mut self {
            Self::Data(data) => (data.destination, data.timestamp) = (destination, timestamp),
            Self::Control(control) => (control.destination, control.timestamp) = (destination, timestamp),
        }
        self
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (header, body) = match self {
            Self::Data(data) => (
                [
                    data.sequence & !TOP,
                    data.message,
                    data.timestamp,
                    data.destination,
                ],
                &data.payload,
            ),
            Self::Control(control) => (
                [
                    TOP | (u32::from(control.kind.0) << 16) | u32::from(control.subtype),
                    control.info,
                    control.timestamp,
                    control.destination,
                ],
                &control.body,
            ),
        };
        let mut bytes = words(&header);
        bytes.extend_from_slice(body);
        bytes
    }

    /// Parses a packet. `None`: the header is incomplete.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(16)?;
        let header: Vec<u32> = header.chunks_exact(4).map(word).collect();
        let &[first, info, timestamp, destination] = header.as_slice() else {
            return None;
        };
        Some(if first & TOP == 0 {
            Self::Data(Data {
                sequence: first,
                message: info,
                timestamp,
                destination,
                payload: body.to_vec(),
            })
        } else {
            let [high, low] = [(first >> 16) & 0x7FFF, first & 0xFFFF];
            Self::Control(Control {
                kind: Kind(u16::try_from(high).ok()?),
                subtype: u16::try_from(low).ok()?,
                info,
                timestamp,
                destination,
                body: body.to_vec(),
            })
        })
    }

    /// The handshake in it, if it is one.
    #[must_use]
    pub fn as_handshake(&self) -> Option<Handshake> {
        match self {
            Self::Control(control) if control.kind == Kind::HANDSHAKE => Handshake::parse(&control.body),
            _ => None,
        }
    }
}

impl From<Data> for Packet {
    fn from(data: Data) -> Self {
        Self::Data(data)
    }
}

impl From<Control> for Packet {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}

/// Words in network order.
pub(super) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A word of four bytes in network order.
pub(super) fn word(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Control, Data, Loss, Packet};

    #[test]
    fn bytes_are_those_of_the_specification() {
        // draft-sharabayko-srt, section 3.2.5: a NAK of 5 and of 7 to 9.
        let nak = Packet::from(Control::nak(&[Loss::One(5), Loss::Range(7, 9)])).addressed(0x0102_0304, 6);
        assert_eq!(
            nak.encode(),
            [
                0x80, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4, 0, 0, 0, 5, 0x80, 0, 0, 7, 0, 0, 0, 9
            ]
        );
        // Section 3.1: PP=11, O=1, KK=01, R=0, message 1.
        let data = Packet::from(Data::whole(2, 1, b"x").even_key());
        assert_eq!(
            data.encode(),
            [0, 0, 0, 2, 0xE8, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'x']
        );
    }

    #[test]
    fn packets_survive_the_wire() {
        for packet in [
            Packet::from(Control::key_request(&[1, 2, 3])),
            Packet::from(Control::ack(9, 8)),
            Packet::from(Data::whole(7, 6, b"payload")),
        ] {
            let packet = packet.addressed(5, 4);
            assert_eq!(Packet::parse(&packet.encode()), Some(packet));
        }
        assert_eq!(Packet::parse(&[0; 15]), None);
    }
}
