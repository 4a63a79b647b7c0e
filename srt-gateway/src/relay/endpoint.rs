//! Parses the endpoints of a relay from the command line. Pure.

use std::{fmt, path::PathBuf};

use crate::{
    config::{Endpoint, FileTarget, SrtMode, SrtTarget, Target, UdpTarget},
    io::Wrapping,
};

/// An endpoint of the relay.
#[derive(Clone, Debug)]
pub(crate) enum RelayEndpoint {
    /// Standard input or output: `file://con` or `-`.
    Console,
    /// Read as fast as the outputs accept it; truncated when written.
    File(PathBuf),
    /// An input paced by its clock references, or an output cut into segments.
    Clocked(FileTarget),
    /// With its URL for display, without secrets.
    Srt(Box<SrtTarget>, String),
    /// The same.
    Datagrams(UdpTarget, Wrapping, String),
}

/// The pace of reading a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as the outputs accept it.
    Any,
    /// By the clock references of the stream.
    Realtime,
}

impl RelayEndpoint {
    /// Parses an input.
    pub(crate) fn input(text: &str, pace: Pace) -> Result<Self, String> {
        match Self::parse(text, Endpoint::input)? {
            Self::File(path) if pace == Pace::Realtime => Ok(Self::Clocked(FileTarget {
                path,
                repeat: false,
                segment: None,
                folder: None,
                special: true,
            })),
            Self::Console if pace == Pace::Realtime => {
                Err("only a file can be played in real time; the writer of a pipe sets its pace".to_owned())
            }
            endpoint => Ok(endpoint),
        }
    }

    /// Parses an output.
    pub(crate) fn output(text: &str) -> Result<Self, String> {
        Self::parse(text, Endpoint::output)
    }

    fn parse(text: &str, read: impl FnOnce(&str) -> Result<Endpoint, String>) -> Result<Self, String> {
        if matches!(text, "-" | "file://con") {
            return Ok(Self::Console);
        }
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let endpoint = read(text)?;
        let shown = endpoint.to_string();
        Ok(match endpoint.target {
            Target::Srt(mut target) => {
                // srt-live-transmit's rule: a host with an adapter and no mode means rendezvous.
                let is_silent = !text.contains("?mode=") && !text.contains("&mode=");
                if target.mode == SrtMode::Caller && target.adapter.is_some() && is_silent {
                    target.mode = SrtMode::Rendezvous;
                }
                Self::Srt(target, shown)
            }
            Target::Udp(udp) => Self::Datagrams(udp, Wrapping::Plain, shown),
            Target::Rtp(udp) => Self::Datagrams(udp, Wrapping::Rtp, shown),
            Target::File(file) if file.repeat || file.segment.is_some() => Self::Clocked(file),
            Target::File(file) => Self::File(file.path),
        })
    }

    /// Checks that libsrt accepts the options of the URL.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Srt(target, shown) => {
                crate::peer::check(target).map_err(|error| format!("{shown}: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it may be kept waiting.
    pub(super) fn is_patient(&self) -> bool {
        matches!(self, Self::Console | Self::File(_))
    }

    /// Whether it has a connection or a socket, and therefore statistics.
    pub(crate) fn is_network(&self) -> bool {
        matches!(self, Self::Srt(..) | Self::Datagrams(..))
    }
}

impl fmt::Display for RelayEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("file://con"),
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Clocked(file) => write!(f, "file://{}", file.path.display()),
            Self::Srt(_, shown) | Self::Datagrams(_, _, shown) => f.write_str(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> RelayEndpoint {
        RelayEndpoint::input(text, Pace::Any).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn mode(text: &str) -> SrtMode {
        match input(text) {
            RelayEndpoint::Srt(target, _) => target.mode,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_are_read_as_srt_live_transmit_reads_them() {
        assert!(matches!(input("-"), RelayEndpoint::Console));
        assert!(matches!(input("file://con"), RelayEndpoint::Console));
        assert!(
            matches!(input("some/file.ts"), RelayEndpoint::File(path) if path.as_os_str() == "some/file.ts")
        );
        assert_eq!(mode("srt://:4201"), SrtMode::Listener);
        assert_eq!(mode("srt://host:4201"), SrtMode::Caller);
        assert_eq!(mode("srt://host:4201?adapter=127.0.0.2"), SrtMode::Rendezvous);
        assert_eq!(
            mode("srt://host:4201?adapter=127.0.0.2&mode=caller"),
            SrtMode::Caller
        );
        let RelayEndpoint::Srt(listener, _) = input("srt://:5001?adapter=127.0.0.2") else {
            panic!()
        };
        assert_eq!(
            (listener.mode, listener.host.as_deref()),
            (SrtMode::Listener, Some("127.0.0.2"))
        );
        let RelayEndpoint::Datagrams(group, Wrapping::Plain, _) =
            input("udp://@239.9.9.9:5009?adapter=127.0.0.1&source=127.0.0.3&rcvbuf=100000")
        else {
            panic!()
        };
        assert_eq!(group.host.as_deref(), Some("239.9.9.9"));
        assert_eq!(group.interface.as_deref(), Some("127.0.0.1"));
        assert_eq!(group.source, Some("127.0.0.3".parse().unwrap()));
        assert_eq!(group.buffer_size, 100_000);
        assert!(matches!(
            input("rtp://:5004?rtpheadersize=12"),
            RelayEndpoint::Datagrams(_, Wrapping::Rtp, _)
        ));
    }

    #[test]
    fn a_file_may_be_played_by_its_clock() {
        let paced = RelayEndpoint::input("x.ts", Pace::Realtime).unwrap();
        assert!(matches!(paced, RelayEndpoint::Clocked(file) if !file.repeat));
        assert!(matches!(input("file:///x.ts?loop=true"), RelayEndpoint::Clocked(file) if file.repeat));
        assert!(RelayEndpoint::input("-", Pace::Realtime).is_err());
    }
}
