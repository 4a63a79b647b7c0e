//! The body of a handshake: the 48 bytes of every version, and the extensions of version 5.

use super::packet::{word, words};

/// A handshake, field by field. The fields need not be consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// 4 in a caller's induction, 5 otherwise.
    pub version: u32,
    /// The key length in 8 bytes: 2, 3 or 4; 0 for none.
    pub encryption: u16,
    /// The announced extensions; 2 in a caller's induction, 0x4A17 in a listener's.
    pub extension: u16,
    /// The sender's first sequence number.
    pub sequence: u32,
    /// The largest packet, with IP and UDP headers.
    pub mss: u32,
    /// Maximum number of packets in flight.
    pub flow_window: u32,
    /// Its type; from 1000 on, a refusal.
    pub request: Request,
    /// The sender's socket.
    pub socket_id: u32,
    /// The cookie of the listener, which the caller returns.
    pub cookie: u32,
    /// The address of the other side, in libsrt's order.
    pub peer_ip: [u32; 4],
    /// The extensions after the body.
    pub extensions: Vec<Extension>,
}

/// The type of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(pub u32);

impl Request {
    /// The caller requests a cookie, the listener issues one.
    pub const INDUCTION: Self = Self(1);
    /// The first of a rendezvous.
    pub const WAVE_AHAND: Self = Self(0);
    /// The caller requests admission, or the listener has admitted it.
    pub const CONCLUSION: Self = Self(u32::MAX);
    /// The end of a rendezvous.
    pub const AGREEMENT: Self = Self(u32::MAX - 1);
}

/// A block behind a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// One of the constants, or anything.
    pub kind: u16,
    /// The length in its header, in words.
    pub words: u16,
    /// The content, of any length.
    pub body: Vec<u8>,
}

impl Extension {
    /// Version, flags and latencies of the caller.
    pub const HS_REQUEST: u16 = 1;
    /// The same of the listener.
    pub const HS_RESPONSE: u16 = 2;
    /// The caller's key material.
    pub const KM_REQUEST: u16 = 3;
    /// The listener's answer to it.
    pub const KM_RESPONSE: u16 = 4;
    /// The streamid.
    pub const STREAM_ID: u16 = 5;
    /// The congestion controller: `live` or `file`.
    pub const CONGESTION: u16 = 6;
    /// The packet filter: `fec,cols:10,rows:5`.
    pub const FILTER: u16 = 7;
    /// The group of a bonded link.
    pub const GROUP: u16 = 8;

    /// A block whose header has its real length. A body that is no multiple of four bytes is padded with zeros.
    ///
    /// # Panics
    /// If the length does not fit into 16 bits.
    #[must_use]
    pub fn new(kind: u16, mut body: Vec<u8>) -> Self {
        body.resize(body.len().next_multiple_of(4), 0);
        let words = u16::try_from(body.len() / 4).expect("an extension of at most 65535 words");
        Self { kind, words, body }
    }

    /// A block of words.
    #[must_use]
    pub fn of_words(kind: u16, content: &[u32]) -> Self {
        Self::new(kind, words(content))
    }

    /// A block with a text, which libsrt writes in words of reversed bytes.
    #[must_use]
    pub fn text(kind: u16, text: &str) -> Self {
        let mut block = Self::new(kind, text.as_bytes().to_vec());
        block.body.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        block
    }

    /// The values of a live caller of libsrt 1.5.7: its version, its flags, and `latency_ms` for both directions.
    #[must_use]
    pub fn hs_request(latency_ms: u16) -> Self {
        // TSBPDSND, TSBPDRCV, CRYPT, TLPKTDROP, PERIODICNAK, REXMITFLG.
        let latency = u32::from(latency_ms);
        Self::of_words(
            Self::HS_REQUEST,
            &[0x0001_0507, 0b11_1111, (latency << 16) | latency],
        )
    }

    /// The group data of a bonded caller.
    #[must_use]
    pub fn group(id: u32, kind: u8, flags: u8, weight: u16) -> Self {
        let second = (u32::from(kind) << 24) | (u32::from(flags) << 16) | u32::from(weight);
        Self::of_words(Self::GROUP, &[id, second])
    }
}

impl Handshake {
    /// A caller's first handshake.
    #[must_use]
    pub fn induction(socket_id: u32, sequence: u32) -> Self {
        Self {
            version: 4,
            encryption: 0,
            extension: 2,
            sequence,
            mss: 1500,
            flow_window: 8192,
            request: Request::INDUCTION,
            socket_id,
            cookie: 0,
            peer_ip: [0x7F00_0001, 0, 0, 0],
            extensions: Vec::new(),
        }
    }

    /// A caller's second handshake: live mode, a latency of 120 ms, no encryption.
    #[must_use]
    pub fn conclusion(socket_id: u32, sequence: u32, cookie: u32, stream_id: &str) -> Self {
        let mut handshake = Self {
            version: 5,
            extension: 1,
            request: Request::CONCLUSION,
            cookie,
            ..Self::induction(socket_id, sequence)
        }
        .with(Extension::hs_request(120));
        if !stream_id.is_empty() {
            handshake = handshake.with(Extension::text(Extension::STREAM_ID, stream_id));
        }
        handshake
    }

    /// The second handshake of a caller older than SRT 1.3, which has no extensions: no streamid and no version.
    #[must_use]
    pub fn old_conclusion(socket_id: u32, sequence: u32, cookie: u32) -> Self {
        Self {
            request: Request::CONCLUSION,
            cookie,
            ..Self::induction(socket_id, sequence)
        }
    }

    /// Adds an extension, and sets the bit that announces its kind.
    #[must_use]
    pub fn with(mut self, extension: Extension) -> Self {
        self.extension |= match extension.kind {
            Extension::HS_REQUEST | Extension::HS_RESPONSE => 1,
            Extension::KM_REQUEST | Extension::KM_RESPONSE => 2,
            _ => 4,
        };
        self.extensions.push(extension);
        self
    }

    /// The code of the refusal, if it is one, in the numbering of libsrt's API: below 1000 its own, 1404 for not found.
    #[must_use]
    pub fn refusal(&self) -> Option<u32> {
        (1000..Request::AGREEMENT.0 - 1)
            .contains(&self.request.0)
            .then(|| self.request.0 - 1000)
    }

    /// The first extension of that kind.
    #[must_use]
    pub fn extension(&self, kind: u16) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.kind == kind)
    }

    /// The body of the packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = words(&[
            self.version,
            (u32::from(self.encryption) << 16) | u32::from(self.extension),
            self.sequence,
            self.mss,
            self.flow_window,
            self.request.0,
            self.socket_id,
            self.cookie,
        ]);
        bytes.extend(words(&self.peer_ip));
        for extension in &self.extensions {
            bytes.extend(extension.kind.to_be_bytes());
            bytes.extend(extension.words.to_be_bytes());
            bytes.extend_from_slice(&extension.body);
        }
        bytes
    }

    /// Parses the body of a packet. `None`: it is shorter than 48 bytes. Extensions end where a length does not fit.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_at_checked(48)?;
        let field = |index: usize| word(&fixed[index * 4..index * 4 + 4]);
        let [high, low] = [field(1) >> 16, field(1) & 0xFFFF].map(|half| u16::try_from(half).ok());
        let mut extensions = Vec::new();
        while let Some((&[a, b, c, d], behind)) = rest.split_first_chunk() {
            let (kind, length) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let Some((body, behind)) = behind.split_at_checked(usize::from(length) * 4) else {
                break;
            };
            extensions.push(Extension {
                kind,
                words: length,
                body: body.to_vec(),
            });
            rest = behind;
        }
        Some(Self {
            version: field(0),
            encryption: high?,
            extension: low?,
            sequence: field(2),
            mss: field(3),
            flow_window: field(4),
            request: Request(field(5)),
            socket_id: field(6),
            cookie: field(7),
            peer_ip: [field(8), field(9), field(10), field(11)],
            extensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Extension, Handshake};

    #[test]
    fn handshake_survives_the_wire() {
        let sent = Handshake::conclusion(7, 8, 9, "#!::r=a").with(Extension::group(1, 2, 3, 4));
        assert_eq!(Handshake::parse(&sent.encode()).as_ref(), Some(&sent));
        assert_eq!(sent.extension, 5);
        assert_eq!(Handshake::parse(&[0; 47]), None);
    }

    #[test]
    fn text_is_laid_out_as_libsrt_does() {
        let block = Extension::text(Extension::STREAM_ID, "abcde");
        assert_eq!(
            (block.words, block.body.as_slice()),
            (2, b"dcba\0\0\0e".as_slice())
        );
    }
}
