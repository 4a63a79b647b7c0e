//! The table of clients, their roles and settings. Pure.

use std::fmt;

/// A program or library that people connect to an SRT gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    LiveTransmit,
    Ffmpeg,
    NewFfmpeg,
    GStreamer,
    Vlc,
    Mpv,
    Tstrans,
    SrtTokio,
    Rsrt,
    Relay,
}

/// The client's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Publish,
    Play,
}

/// Which side calls, and which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// The client calls a port that serves all streams.
    Shared,
    /// The client calls a port of the stream.
    Own,
    /// The client listens, and an input or output of the gateway calls it.
    Listener,
    /// Both call each other.
    Rendezvous,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    None,
    Aes128,
    Aes192,
    Aes256,
}

/// The format of the streamid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Id {
    /// None is sent.
    None,
    /// The standard form, unescaped: `#!::r=NAME,m=publish`.
    Raw,
    /// The standard form, percent-encoded.
    Encoded,
    /// srtrelay's form: `publish/NAME`.
    Path,
    /// MediaMTX's form: `publish:NAME`.
    Colon,
}

/// The address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The expected result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The stream arrives.
    Works,
    /// The gateway refuses the caller with this code, because of the client's fault.
    Refused { code: u32, because: &'static str },
    /// The client connects and sends nothing, because of its own fault.
    Silent { because: &'static str },
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) client: Client,
    pub(crate) role: Role,
    pub(crate) mode: Mode,
    pub(crate) key: Key,
    pub(crate) id: Id,
    pub(crate) family: Family,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            self.client, self.role, self.mode, self.key, self.id, self.family
        )
    }
}

impl Client {
    pub(crate) const ALL: [Self; 10] = [
        Self::LiveTransmit,
        Self::Ffmpeg,
        Self::NewFfmpeg,
        Self::GStreamer,
        Self::Vlc,
        Self::Mpv,
        Self::Tstrans,
        Self::SrtTokio,
        Self::Rsrt,
        Self::Relay,
    ];

    pub(crate) fn roles(self) -> &'static [Role] {
        match self {
            Self::Mpv => &[Role::Play],
            _ => &[Role::Publish, Role::Play],
        }
    }

    pub(crate) fn modes(self, role: Role) -> &'static [Mode] {
        match (self, role) {
            (Self::LiveTransmit | Self::Relay, _) => {
                &[Mode::Shared, Mode::Own, Mode::Listener, Mode::Rendezvous]
            }
            // VLC's SRT output only calls.
            (Self::Vlc, Role::Publish) => &[Mode::Shared, Mode::Own],
            _ => &[Mode::Shared, Mode::Own, Mode::Listener],
        }
    }
}

impl Client {
    pub(crate) fn families(self) -> &'static [Family] {
        match self {
            Self::Rsrt => &[Family::V4],
            _ => &[Family::V4, Family::V6],
        }
    }
}

impl Key {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Aes128, Self::Aes192, Self::Aes256];

    /// The length in bytes; 0 without encryption.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

impl Id {
    fn of(mode: Mode) -> &'static [Self] {
        match mode {
            Mode::Shared => &[Self::Raw, Self::Encoded, Self::Path, Self::Colon],
            _ => &[Self::None],
        }
    }
}

impl Row {
    /// The expected result, and the reason if the client does not work.
    pub(crate) fn expected(&self) -> Expected {
        match (self.client, self.role, self.id) {
            (Client::Vlc, Role::Publish, _) => Expected::Silent {
                because: "The SRT output of 3.0.24 connects but sends nothing, not even to srt-live-transmit.",
            },
            (Client::GStreamer, _, Id::Raw) | (Client::Vlc, _, Id::Raw) => Expected::Refused {
                code: 1400,
                because: "It treats `#` in a URL as the start of a fragment and sends no streamid (refused with 1400): write `%23`.",
            },
            _ => Expected::Works,
        }
    }
}

/// The whole table.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for client in Client::ALL {
        for role in client.roles().iter().copied() {
            for mode in client.modes(role).iter().copied() {
                for key in Key::ALL {
                    for id in Id::of(mode).iter().copied() {
                        for family in client.families().iter().copied() {
                            // Both sides of a rendezvous need their own address, and ::1 is the only IPv6 address here.
                            if mode == Mode::Rendezvous && family == Family::V6 {
                                continue;
                            }
                            rows.push(Row {
                                client,
                                role,
                                mode,
                                key,
                                id,
                                family,
                            });
                        }
                    }
                }
            }
        }
    }
    rows
}
