//! A transport packet's header and adaptation field (ISO/IEC 13818-1, 2.4.3).
//!
//! A view: it borrows the bytes, and parses a field when it is accessed.

use std::fmt;
use std::time::Duration;

/// Length of a transport packet in bytes.
pub const PACKET_LEN: usize = 188;

/// The first byte of every transport packet.
pub(super) const SYNC: u8 = 0x47;

/// A packet identifier, 13 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u16);

impl Pid {
    /// Packets of the program association table.
    pub const PAT: Self = Self(0x0000);
    /// Null packets.
    pub const NULL: Self = Self(0x1FFF);

    /// The PID in the low 13 bits of two bytes, as in PAT, PMT and packet headers.
    pub(super) fn from_be_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes) & 0x1FFF)
    }

    /// The number, 0 to 0x1FFF.
    #[must_use]
    pub fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({self})")
    }
}

/// A program clock reference, in ticks of 27 MHz; wraps after 26.5 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pcr(u64);

impl Pcr {
    /// One more than the largest value: 2^33 ticks of 90 kHz.
    pub const WRAP: u64 = (1 << 33) * 300;

    /// Ticks of 27 MHz.
    #[must_use]
    pub fn ticks(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here, over at most one wrap.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = (self.0 + Self::WRAP - earlier.0) % Self::WRAP;
        Duration::from_nanos(ticks * 1000 / 27)
    }
}

/// A transport packet.
#[derive(Clone, Copy)]
pub struct TsPacket<'a> {
    bytes: &'a [u8; PACKET_LEN],
}

impl<'a> TsPacket<'a> {
    /// Interprets 188 bytes as a packet; None if they do not begin with the sync byte.
    #[must_use]
    pub fn new(bytes: &'a [u8; PACKET_LEN]) -> Option<Self> {
        (bytes[0] == SYNC).then_some(Self { bytes })
    }

    /// Transport error indicator: the demodulator or decoder before us could not correct this packet.
    #[must_use]
    pub fn has_transport_error(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// Payload unit start indicator: a PES packet or a section begins in this packet.
    #[must_use]
    pub fn is_unit_start(&self) -> bool {
        self.bytes[1] & 0x40 != 0
    }

    /// Packet identifier.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_be_bytes([self.bytes[1], self.bytes[2]])
    }

    /// Whether the payload is scrambled.
    #[must_use]
    pub fn is_scrambled(&self) -> bool {
        self.bytes[3] & 0xC0 != 0
    }

    /// Continuity counter, 0 to 15.
    #[must_use]
    pub fn continuity_counter(&self) -> u8 {
        self.bytes[3] & 0x0F
    }

    /// Whether the header announces a payload (which increments the continuity counter).
    #[must_use]
    pub fn announces_payload(&self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    fn announces_adaptation(&self) -> bool {
        self.bytes[3] & 0x20 != 0
    }

    /// The adaptation field; None if there is none, it has no flags, or its length exceeds the packet.
    #[must_use]
    pub fn adaptation(&self) -> Option<Adaptation<'a>> {
        if !self.announces_adaptation() {
            return None;
        }
        let field = self.bytes.get(5..5 + usize::from(self.bytes[4]))?;
        let (&flags, optional) = field.split_first()?;
        Some(Adaptation { flags, optional })
    }

    /// The payload, 1 to 184 bytes.
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        if !self.announces_payload() {
            return None;
        }
        let start = if self.announces_adaptation() {
            5 + usize::from(self.bytes[4])
        } else {
            4
        };
        self.bytes.get(start..).filter(|payload| !payload.is_empty())
    }
}

impl fmt::Debug for TsPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsPacket")
            .field("pid", &self.pid())
            .field("continuity_counter", &self.continuity_counter())
            .field("unit_start", &self.is_unit_start())
            .field("adaptation", &self.adaptation())
            .finish_non_exhaustive()
    }
}

/// The adaptation field of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Adaptation<'a> {
    flags: u8,
    optional: &'a [u8],
}

impl Adaptation<'_> {
    /// Discontinuity indicator: a jump of the continuity counter or the clock is intended.
    #[must_use]
    pub fn is_discontinuity(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// Random access indicator: a decoder can start with the elementary stream here.
    #[must_use]
    pub fn is_random_access(&self) -> bool {
        self.flags & 0x40 != 0
    }

    /// Program clock reference.
    #[must_use]
    pub fn pcr(&self) -> Option<Pcr> {
        if self.flags & 0x10 == 0 {
            return None;
        }
        let [b0, b1, b2, b3, b4, b5] = *self.optional.first_chunk::<6>()?;
        let base = u64::from(u32::from_be_bytes([b0, b1, b2, b3])) << 1 | u64::from(b4 >> 7);
        let extension = u64::from(b4 & 1) << 8 | u64::from(b5);
        Some(Pcr((base * 300 + extension) % Pcr::WRAP))
    }
}
