//! One parsed line of libsrt's log. Created on the logging thread, so it does little more than copy.

use std::{fmt, time::SystemTime};

use super::{Area, LogLevel};
use crate::SocketId;

/// A line of libsrt's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    time: SystemTime,
    level: LogLevel,
    area: Option<Area>,
    socket: Option<SocketId>,
    function: Box<str>,
    file: Box<str>,
    line: u32,
    message: Box<str>,
}

/// Why encryption ended a handshake; see [`LogLine::encryption_fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncryptionFault {
    /// The peer's key material cannot be opened: its passphrase differs from this side's, or this side has none.
    Passphrase,
    /// This side requires encryption and the peer offers none.
    Missing,
    /// The two sides require different crypto modes (AES-CTR and AES-GCM).
    CryptoMode,
}

impl LogLine {
    /// `message` has libsrt's format without time, thread name and end of line: a severity, `:SRT.`, two letters for
    /// the area, `: `, optionally `@` and the socket's number, `: `, and the text.
    pub(super) fn parse(level: LogLevel, file: &str, line: u32, function: &str, message: &str) -> Self {
        let message = message.trim_end();
        let (area, message) = match message.split_once(": ") {
            Some((prefix, rest)) if prefix.contains(":SRT.") => {
                (prefix.rsplit('.').next().and_then(Area::from_mark), rest)
            }
            _ => (None, message),
        };
        let socket = message
            .strip_prefix('@')
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(number, _)| number.parse().ok())
            .map(SocketId);
        Self {
            time: SystemTime::now(),
            level,
            area,
            socket,
            function: function.into(),
            file: file.rsplit(['/', '\\']).next().unwrap_or(file).into(),
            line,
            message: printable(message),
        }
    }

    /// A line of this crate about the log itself.
    pub(super) fn own(message: String) -> Self {
        Self {
            time: SystemTime::now(),
            level: LogLevel::Warning,
            area: None,
            socket: None,
            function: "".into(),
            file: "".into(),
            line: 0,
            message: message.into(),
        }
    }

    /// When the line was written.
    #[must_use]
    pub const fn time(&self) -> SystemTime {
        self.time
    }

    /// Its severity.
    #[must_use]
    pub const fn level(&self) -> LogLevel {
        self.level
    }

    /// The functional area, if the line contains one.
    #[must_use]
    pub const fn area(&self) -> Option<Area> {
        self.area
    }

    /// The socket of the line, if it contains one: the id that a listener's access control sees too.
    #[must_use]
    pub const fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    /// The function of libsrt.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// The file of libsrt's source, without directories.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in that file.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The text, with control characters escaped (it may quote what a peer sent).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The socket whose handshake ended because of encryption, and why, if the line reports that.
    ///
    /// libsrt reports a wrong passphrase to a listener only in its log, in a line of level error. It is recognised by
    /// its text, which is that of libsrt 1.5.7; a test of this crate fails if a new version changes it. An older
    /// installed one (seen: 1.5.1) does not include the socket, and this returns `None`.
    #[must_use]
    pub fn encryption_fault(&self) -> Option<(SocketId, EncryptionFault)> {
        let socket = self.socket?;
        let fault = if self.message.contains("Bad crypto mode - rejecting") {
            EncryptionFault::CryptoMode
        } else if !self.message.contains("per enforced encryption") {
            return None;
        } else if self.message.contains("KMREQ result") || self.message.contains("KMRSP failed") {
            EncryptionFault::Passphrase
        } else {
            EncryptionFault::Missing
        };
        Some((socket, fault))
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let area = self.area.map_or("libsrt", Area::as_str);
        write!(f, "{} {area}: {}", self.level, self.message)
    }
}

fn printable(text: &str) -> Box<str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: &str) -> LogLine {
        LogLine::parse(LogLevel::Error, "/a/b/core.cpp", 12, "connect", message)
    }

    #[test]
    fn a_line_is_taken_apart() {
        let line = parse("*E:SRT.cn: @345: failed: badly\n");
        assert_eq!(line.area(), Some(Area::CONNECTION));
        assert_eq!(line.socket(), Some(SocketId(345)));
        assert_eq!(line.message(), "@345: failed: badly");
        assert_eq!(
            (line.file(), line.line(), line.function()),
            ("core.cpp", 12, "connect")
        );
        assert_eq!(line.to_string(), "error conn: @345: failed: badly");
    }

    #[test]
    fn a_line_without_marks_stays_whole_and_control_characters_are_escaped() {
        let line = parse("no: marks\x1b[2J\nhere");
        assert_eq!(line.area(), None);
        assert_eq!(line.socket(), None);
        assert_eq!(line.message(), "no: marks\\u{1b}[2J\\nhere");
        assert_eq!(parse("!W:SRT.zz: x").area(), None);
        assert_eq!(parse("").message(), "");
    }

    #[test]
    fn faults_of_encryption_are_told_apart() {
        let fault = |message| parse(message).encryption_fault();
        assert_eq!(
            fault("*E:SRT.cn: @7: f: KMREQ result bad - rejecting per enforced encryption"),
            Some((SocketId(7), EncryptionFault::Passphrase))
        );
        assert_eq!(
            fault("*E:SRT.cn: @7: peer does not - rejecting connection per enforced encryption."),
            Some((SocketId(7), EncryptionFault::Missing))
        );
        assert_eq!(fault("*E:SRT.cn: KMREQ result per enforced encryption"), None);
        assert_eq!(fault("*E:SRT.cn: @7: something else"), None);
    }
}
