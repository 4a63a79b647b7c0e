//! Levels and functional areas of libsrt's log, by number and by name. Pure tables.

use std::{ffi::c_int, fmt, str::FromStr};

/// The severity of a line. `Fatal` is the lowest value: `level <= LogLevel::Warning` means "warning or more severe".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// `LOG_CRIT`: the process cannot continue.
    Fatal,
    /// `LOG_ERR`: an unexpected condition in the library.
    Error,
    /// `LOG_WARNING`: possibly harmful for the application; libsrt's default.
    Warning,
    /// `LOG_NOTICE`: rare and normal.
    Note,
    /// `LOG_DEBUG`: frequent and slow. Most such lines are compiled out.
    Debug,
}

impl LogLevel {
    /// The levels' names, as in `srt-live-transmit -loglevel`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Debug => "debug",
        }
    }

    /// The syslog.h number that libsrt uses.
    pub(super) const fn to_raw(self) -> c_int {
        match self {
            Self::Fatal => libc::LOG_CRIT,
            Self::Error => libc::LOG_ERR,
            Self::Warning => libc::LOG_WARNING,
            Self::Note => libc::LOG_NOTICE,
            Self::Debug => libc::LOG_DEBUG,
        }
    }

    pub(super) const fn from_raw(raw: c_int) -> Self {
        match raw {
            ..=libc::LOG_CRIT => Self::Fatal,
            libc::LOG_ERR => Self::Error,
            libc::LOG_WARNING => Self::Warning,
            libc::LOG_NOTICE | libc::LOG_INFO => Self::Note,
            _ => Self::Debug,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Fatal, Self::Error, Self::Warning, Self::Note, Self::Debug]
            .into_iter()
            .find(|level| level.as_str() == name)
            .ok_or(UnknownName(
                "a log level: one of fatal, error, warning, note, debug",
            ))
    }
}

impl From<LogLevel> for log::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Fatal | LogLevel::Error => Self::Error,
            LogLevel::Warning => Self::Warn,
            LogLevel::Note => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

/// A name that is no level, or no functional area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName(&'static str);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the name of {}", self.0)
    }
}

impl std::error::Error for UnknownName {}

/// A functional area of libsrt that can be logged or not (`SRT_LOGFA_*`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Area(u8);

/// Number, name, and the two letters by which libsrt marks a line of the area.
struct Entry(u8, &'static str, &'static str, &'static str);

macro_rules! areas {
    ($($(#[$doc:meta])* $name:ident = $raw:ident, $text:literal, $mark:literal;)*) => {
        impl Area {
            $(
                $(#[$doc])*
                pub const $name: Self = Self(narrow(libsrt_sys::$raw));
            )*

            /// All areas.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }

        const TABLE: &[Entry] = &[$(Entry(Area::$name.0, $text, $mark, concat!("libsrt::", $text))),*];
    };
}

const fn narrow(raw: u32) -> u8 {
    assert!(raw < libsrt_sys::SRT_LOGFA_LASTNONE, "not a functional area");
    raw.to_le_bytes()[0]
}

areas! {
    /// Everything without an area of its own.
    GENERAL = SRT_LOGFA_GENERAL, "general", "gg";
    /// Opening, closing and cleaning up sockets.
    SOCKET_MANAGEMENT = SRT_LOGFA_SOCKMGMT, "sockmgmt", "sm";
    /// Connecting and handshakes, including key exchange.
    CONNECTION = SRT_LOGFA_CONN, "conn", "cn";
    /// Timers.
    TIMER = SRT_LOGFA_XTIMER, "xtimer", "xt";
    /// Delivery by timestamps.
    TSBPD = SRT_LOGFA_TSBPD, "tsbpd", "ts";
    /// System resources.
    RESOURCES = SRT_LOGFA_RSRC, "rsrc", "rs";
    /// Encryption.
    HAICRYPT = SRT_LOGFA_HAICRYPT, "haicrypt", "hc";
    /// Congestion control.
    CONGESTION = SRT_LOGFA_CONGEST, "congest", "cc";
    /// Packet filter (FEC).
    PACKET_FILTER = SRT_LOGFA_PFILTER, "pfilter", "pf";
    /// The application's own lines.
    APPLICATION = SRT_LOGFA_APPLOG, "applog", "ap";
    /// API calls other than data.
    API_CONTROL = SRT_LOGFA_API_CTRL, "api-ctrl", "ac";
    /// Queues, control.
    QUEUE_CONTROL = SRT_LOGFA_QUE_CTRL, "que-ctrl", "qc";
    /// Epoll, internal updates.
    EPOLL_UPDATE = SRT_LOGFA_EPOLL_UPD, "epoll-upd", "ei";
    /// API calls that receive.
    API_RECEIVE = SRT_LOGFA_API_RECV, "api-recv", "ar";
    /// Receive buffer.
    BUFFER_RECEIVE = SRT_LOGFA_BUF_RECV, "buf-recv", "br";
    /// Receive queue.
    QUEUE_RECEIVE = SRT_LOGFA_QUE_RECV, "que-recv", "qr";
    /// Channel, receiving.
    CHANNEL_RECEIVE = SRT_LOGFA_CHN_RECV, "chn-recv", "kr";
    /// Groups, receiving.
    GROUP_RECEIVE = SRT_LOGFA_GRP_RECV, "grp-recv", "gr";
    /// API calls that send.
    API_SEND = SRT_LOGFA_API_SEND, "api-send", "as";
    /// Send buffer.
    BUFFER_SEND = SRT_LOGFA_BUF_SEND, "buf-send", "bs";
    /// Send queue.
    QUEUE_SEND = SRT_LOGFA_QUE_SEND, "que-send", "qs";
    /// Channel, sending.
    CHANNEL_SEND = SRT_LOGFA_CHN_SEND, "chn-send", "ks";
    /// Groups, sending.
    GROUP_SEND = SRT_LOGFA_GRP_SEND, "grp-send", "gs";
    /// Internal.
    INTERNAL = SRT_LOGFA_INTERNAL, "internal", "in";
    /// Queues, management.
    QUEUE_MANAGEMENT = SRT_LOGFA_QUE_MGMT, "que-mgmt", "qm";
    /// Channel, management.
    CHANNEL_MANAGEMENT = SRT_LOGFA_CHN_MGMT, "chn-mgmt", "km";
    /// Groups, management.
    GROUP_MANAGEMENT = SRT_LOGFA_GRP_MGMT, "grp-mgmt", "gm";
    /// Epoll, calls by the application.
    EPOLL_API = SRT_LOGFA_EPOLL_API, "epoll-api", "ea";
}

impl Area {
    /// The name, as in `srt-live-transmit -logfa`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().map_or("unknown", |entry| entry.1)
    }

    /// The target of the area's lines: `libsrt::` and the name.
    #[must_use]
    pub fn target(self) -> &'static str {
        self.entry().map_or("libsrt", |entry| entry.3)
    }

    pub(super) fn from_mark(mark: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|entry| entry.2 == mark)
            .map(|entry| Self(entry.0))
    }

    pub(super) fn to_raw(self) -> c_int {
        c_int::from(self.0)
    }

    fn entry(self) -> Option<&'static Entry> {
        TABLE.iter().find(|entry| entry.0 == self.0)
    }
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Area({})", self.as_str())
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Area {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        TABLE
            .iter()
            .find(|entry| entry.1 == name)
            .map(|entry| Self(entry.0))
            .ok_or(UnknownName(
                "a functional area of libsrt, such as \"conn\" or \"sockmgmt\"",
            ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn areas_and_levels_are_found_again_by_their_names() {
        for area in Area::ALL {
            assert_eq!(area.as_str().parse(), Ok(*area));
            assert_eq!(area.target(), format!("libsrt::{area}"));
        }
        let marks: HashSet<_> = TABLE.iter().map(|entry| entry.2).collect();
        assert_eq!(marks.len(), Area::ALL.len());
        assert!("no such".parse::<Area>().is_err());
        for level in [LogLevel::Fatal, LogLevel::Warning, LogLevel::Debug] {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(LogLevel::from_raw(level.to_raw()), level);
        }
        assert!("info".parse::<LogLevel>().is_err());
    }
}
