//! Inputs and outputs, from URLs and the keys beside them. Pure; resolves no names and opens nothing.
//!
//! The URLs follow ffmpeg and srt-live-transmit rather than RFC 3986: a streamid may contain `#`, `!` and `:`
//! literally.

use std::{fmt, path::PathBuf, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    bond::{Bond, BondKind},
    model::{Config, SrtSettings, Stream},
    secret::Secret,
    validate,
};
use crate::address::ZonedIp;

/// One entry of `inputs` or `outputs`. `Debug` and `Display` show scheme, host, port and path only.
#[derive(Clone, PartialEq)]
pub struct Endpoint {
    /// Whether it is used.
    pub enabled: bool,
    /// The configured name. `None`: the address serves as the name.
    pub name: Option<String>,
    /// The target, by transport.
    pub target: Target,
    pub(crate) url: Secret,
}

/// The transport of an [`Endpoint`] and its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// `srt://`.
    Srt(Box<SrtTarget>),
    /// `udp://`.
    Udp(UdpTarget),
    /// `rtp://`.
    Rtp(UdpTarget),
    /// `file://`.
    File(FileTarget),
}

/// An SRT peer.
#[derive(Clone, Debug, PartialEq)]
pub struct SrtTarget {
    /// Which side calls.
    pub mode: SrtMode,
    /// Name or address; `None` only for a listener on all addresses.
    pub host: Option<String>,
    /// The peer's port, or the one to listen on.
    pub port: u16,
    /// Local address to send from.
    pub adapter: Option<ZonedIp>,
    /// Local port to send from. `None`: any; for rendezvous the same as `port`.
    pub local_port: Option<u16>,
    /// The streamid of the call. Secret: it may contain a password.
    pub stream_id: Option<Secret>,
    /// Whether the streamid of a call lists the gateways that the stream has passed. Other servers may refuse that.
    pub loop_detection: bool,
    /// The size limit of an output's messages in bytes; longer ones are cut. `None`: messages are sent as received.
    pub payload_size: Option<u16>,
    /// The links of a bonded connection; `host` and `port` are those of the first. `None`: not bonded.
    pub bond: Option<Bond>,
    /// The socket settings: those of the entry over the ones of `[srt_defaults]` that apply to endpoints.
    pub settings: SrtSettings,
}

/// Which side calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtMode {
    /// The gateway calls.
    Caller,
    /// The gateway listens.
    Listener,
    /// Both sides call.
    Rendezvous,
}

/// Datagrams, plain or RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpTarget {
    /// Name, address or multicast group. `None`: all addresses (inputs only).
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Network interface of a multicast group, by name or address.
    pub interface: Option<String>,
    /// Time to live of the datagrams. `None`: 1 for multicast, the system's for others.
    pub ttl: Option<u8>,
    /// Payload of a datagram, in bytes.
    pub payload_size: u16,
    /// The only accepted sender.
    pub source: Option<ZonedIp>,
    /// Size of the socket's buffer, in bytes.
    pub buffer_size: usize,
    /// Local address to send from.
    pub local_address: Option<ZonedIp>,
    /// Type of service (IPv4) or traffic class (IPv6) of sent packets.
    pub tos: u8,
    /// Whether this host receives its own multicast datagrams.
    pub echo: bool,
}

/// A file of TS packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTarget {
    /// The path. An output's path may contain `strftime` fields.
    pub path: PathBuf,
    /// Repeat at the end (inputs).
    pub repeat: bool,
    /// Length of a file (outputs). `None`: one file.
    pub segment: Option<Duration>,
    /// The folder that the path must stay in, despite `..` and links, for definitions from the API or a backend.
    /// `None`: no restriction.
    pub folder: Option<PathBuf>,
    /// Whether the path may be a FIFO or a device. Otherwise only regular files are opened.
    pub special: bool,
}

/// Why an endpoint with `${name}` cannot be used for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpandError {
    /// The stream's name would leave the path's directory.
    UnsafePath,
    /// The streamid would be longer than SRT's 512 bytes.
    StreamIdTooLong,
    /// The stream's name would add keys to the streamid, or end it.
    UnsafeStreamId,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsafePath => {
                "the stream's name cannot be part of a path: it has an empty, `.` or `..` component"
            }
            Self::StreamIdTooLong => "the streamid is longer than 512 bytes with the stream's name in it",
            Self::UnsafeStreamId => {
                "the stream's name cannot be part of a streamid: it has a comma, a brace or a control character"
            }
        })
    }
}

impl std::error::Error for ExpandError {}

/// Characters of a name that must be encoded in a URL; `/` is not among them.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The placeholder for the stream's name in a streamid or a path.
pub(crate) const NAME: &str = "${name}";

impl Endpoint {
    /// Parses a URL as an entry of `inputs` without other keys.
    ///
    /// # Errors
    /// The error, in one line.
    pub fn input(url: &str) -> Result<Self, String> {
        Self::alone(url, "inputs").map(|mut stream| stream.inputs.remove(0))
    }

    /// Parses a URL as an entry of `outputs` without other keys.
    ///
    /// # Errors
    /// The error, in one line.
    pub fn output(url: &str) -> Result<Self, String> {
        Self::alone(url, "outputs").map(|mut stream| stream.outputs.remove(0))
    }

    /// Like [`output`](Self::output), but keeps `${name}` for [`for_stream`](Self::for_stream).
    ///
    /// # Errors
    /// The error, in one line.
    pub(crate) fn output_for_any(url: &str) -> Result<Self, String> {
        let text = format!(
            "[templates.x]\nprefix = \"x\"\noutputs = [{}]",
            toml::Value::from(url)
        );
        let templates = read_around(&text)?.templates;
        let outputs = templates
            .into_values()
            .flat_map(|template| template.stream.outputs);
        outputs.last().ok_or_else(|| "the URL is none".to_owned())
    }

    /// A stream with only this URL, parsed by the reader of the whole configuration, which knows everything about URLs.
    fn alone(url: &str, key: &str) -> Result<Stream, String> {
        let text = format!("[streams.x]\n{key} = [{}]", toml::Value::from(url));
        let config = read_around(&text)?;
        Ok(config.streams.into_values().next().unwrap_or_default())
    }

    /// Whether it connects like `other`, whatever their names are.
    pub(crate) fn connects_as(&self, other: &Self) -> bool {
        self.enabled == other.enabled && self.target == other.target && self.url == other.url
    }

    /// Its name, if it has one, and its address, for display.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} ({self})"),
            None => self.to_string(),
        }
    }

    /// The URL as configured, secrets included.
    pub fn expose_url(&self) -> &str {
        self.url.expose()
    }

    /// This endpoint for the stream `name`, with `${name}` replaced in its streamid and path. Callers may choose stream
    /// names, so a path that the name would lead elsewhere is refused.
    ///
    /// # Errors
    /// [`ExpandError`] gives the reason.
    pub fn for_stream(&self, name: &str) -> Result<Self, ExpandError> {
        let mut endpoint = self.clone();
        match &mut endpoint.target {
            Target::Srt(srt) => {
                let takes_name = srt
                    .stream_id
                    .as_ref()
                    .is_some_and(|id| id.expose().contains(NAME));
                // The standard form has no escapes for these characters: the rest would become other keys.
                if takes_name && name.contains(|c: char| c.is_control() || matches!(c, ',' | '{' | '}')) {
                    return Err(ExpandError::UnsafeStreamId);
                }
                let id = srt.stream_id.as_ref().map(|id| id.expose().replace(NAME, name));
                if id.as_ref().is_some_and(|id| id.len() > 512) {
                    return Err(ExpandError::StreamIdTooLong);
                }
                srt.stream_id = id.map(Secret::new);
            }
            Target::File(file) => {
                let path = file.path.to_string_lossy().into_owned();
                let astray = || name.split('/').any(|part| matches!(part, "" | "." | ".."));
                if path.contains(NAME) {
                    if astray() || name.contains(['\\', '\0']) {
                        return Err(ExpandError::UnsafePath);
                    }
                    // The name is no format, so its % must survive strftime.
                    file.path = PathBuf::from(path.replace(NAME, &name.replace('%', "%%")));
                }
            }
            Target::Udp(_) | Target::Rtp(_) => {}
        }
        // The parsed URL is in `target`; the text must remain a valid URL.
        let encoded = utf8_percent_encode(name, IN_URL).to_string();
        endpoint.url = Secret::new(endpoint.url.expose().replace(NAME, &encoded));
        Ok(endpoint)
    }
}

/// Parses a configuration around a URL; returns the URL's error in one line.
fn read_around(text: &str) -> Result<Config, String> {
    validate::parse(text).map_err(|errors| {
        let told = errors.faults().iter().map(|fault| {
            // The path of an entry, followed by that of the error in it, which is a parameter here.
            let what = match fault.key().rsplit_once("].") {
                Some((_, parameter)) => format!("parameter {parameter} of the URL:"),
                None => "the URL".to_owned(),
            };
            match fault.hint() {
                Some(hint) => format!("{what} {}; {hint}", fault.message()),
                None => format!("{what} {}", fault.message()),
            }
        });
        told.collect::<Vec<_>>().join(", and ")
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = |f: &mut fmt::Formatter<'_>, scheme, host: &Option<String>, port| {
            let host = host.as_deref().unwrap_or_default();
            if host.contains(':') {
                write!(f, "{scheme}://[{host}]:{port}")
            } else {
                write!(f, "{scheme}://{host}:{port}")
            }
        };
        match &self.target {
            Target::Srt(srt) => match &srt.bond {
                None => network(f, "srt", &srt.host, srt.port),
                Some(bond) => {
                    let links: Vec<_> = bond.links.iter().map(ToString::to_string).collect();
                    let kind = match bond.kind {
                        BondKind::Broadcast => "broadcast",
                        BondKind::Backup => "backup",
                    };
                    write!(f, "srt://*?type={kind}&nodes={}", links.join(","))
                }
            },
            Target::Udp(udp) => network(f, "udp", &udp.host, udp.port),
            Target::Rtp(udp) => network(f, "rtp", &udp.host, udp.port),
            Target::File(file) => write!(f, "file://{}", file.path.display()),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &format_args!("{self}"))
            .field("enabled", &self.enabled)
            .field("target", &self.target)
            .finish()
    }
}
