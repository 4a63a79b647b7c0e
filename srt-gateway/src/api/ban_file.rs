//! The operators' bans, stored in a file beside the state file so that they survive a restart.
//!
//! Read before the first port is open, and written after each change, on a thread that may block. Bans by `[limits]`
//! are not stored, because they are short.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::bans::BAN_MAX;
use crate::access::{Ban, BannedBy, RateLimiter};

/// The header of the file.
const HEADER: &str = "# Bans made through the API of srt-gateway. The gateway rewrites this file at every change: edit it only\n\
                      # while the gateway is stopped.\n\n";

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct BanList {
    bans: Vec<StoredBan>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredBan {
    address: IpNet,
    since: String,
    until: String,
    by: String,
    #[serde(default)]
    reason: String,
}

/// The file with the bans.
#[derive(Debug)]
pub(crate) struct BanFile {
    /// None: bans are not stored.
    path: Option<PathBuf>,
    /// Serializes writers, so that the later one writes the later state.
    writing: Mutex<()>,
}

impl BanFile {
    /// The file beside the state file: `gateway.state.bans.toml` for `gateway.state.toml`.
    pub(super) fn beside(state: Option<&Path>) -> Self {
        Self {
            path: state.map(|state| state.with_extension("bans.toml")),
            writing: Mutex::default(),
        }
    }

    /// The stored bans that have not ended. An unreadable file is moved aside, because a gateway that does not start
    /// helps nobody.
    pub(crate) fn read(&self) -> Vec<Ban> {
        let Some(path) = &self.path else {
            return Vec::new();
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warn!(
                    "the saved bans are not in force, because {} cannot be read: {error}",
                    path.display()
                );
                return Vec::new();
            }
        };
        match parse(&text, SystemTime::now()) {
            Ok(bans) => bans,
            Err(error) => {
                let aside = path.with_extension("toml.bad");
                let moved = fs::rename(path, &aside);
                warn!(
                    "the saved bans are not in force, because {} is not valid: {error}; the file was renamed to {}",
                    path.display(),
                    moved.map_or(path, |()| &aside).display()
                );
                Vec::new()
            }
        }
    }

    /// Writes the operators' bans in force. Blocks.
    ///
    /// # Errors
    /// The file that cannot be written, and why. Its old content stays.
    pub(crate) fn write(&self, limiter: &RateLimiter) -> Result<(), String> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let bans = limiter.bans_by_operators(Instant::now());
        let stored = BanList {
            bans: bans.iter().map(|ban| stored(ban)).collect(),
        };
        let written = toml::to_string(&stored)
            .map_err(io::Error::other)
            .and_then(|text| replace(path, &format!("{HEADER}{text}")));
        written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

fn stored(ban: &Ban) -> StoredBan {
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    StoredBan {
        address: ban.network,
        since: time(ban.since),
        until: time(ban.until),
        by: match &ban.by {
            BannedBy::Operator(token) => token.to_string(),
            BannedBy::Limit(key) => (*key).to_owned(),
        },
        reason: ban.reason.to_string(),
    }
}

fn parse(text: &str, now: SystemTime) -> Result<Vec<Ban>, String> {
    let stored: BanList = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let ban = |stored: StoredBan| {
        let time = |text: &str| humantime::parse_rfc3339(text).map_err(|error| format!("{text:?}: {error}"));
        // The clock may have been wrong when the ban was made.
        let latest = now + Duration::from_secs(BAN_MAX);
        Ok(Ban {
            network: stored.address,
            by: BannedBy::Operator(stored.by.into()),
            reason: stored.reason.into(),
            since: time(&stored.since)?,
            until: time(&stored.until)?.min(latest),
        })
    };
    let bans: Result<Vec<_>, String> = stored.bans.into_iter().map(ban).collect();
    Ok(bans?.into_iter().filter(|ban| now < ban.until).collect())
}

/// Replaces the file atomically, readable by its owner only.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("toml.new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn limiter_with(bans: Vec<Ban>) -> RateLimiter {
        let limiter = RateLimiter::new(Limits::default());
        for ban in bans {
            assert!(limiter.ban(ban));
        }
        limiter
    }

    #[test]
    fn bans_are_read_as_they_were_written_and_those_that_ended_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("gateway.state.toml");
        let file = BanFile::beside(Some(&state));
        assert!(file.read().is_empty());
        let ban = |network: &str, reason, seconds| {
            let by = BannedBy::Operator("alice \"the admin\"".into());
            Ban::new(network.parse().unwrap(), by, reason, Duration::from_secs(seconds))
        };
        let bans = vec![
            ban("192.0.2.0/24", "a reason = 'of' \"some\" kind", 600),
            ban("2001:db8::/32", "", 60),
        ];
        file.write(&limiter_with(bans.clone())).unwrap();
        let shown = |bans: &[Ban]| -> Vec<String> {
            bans.iter().map(|ban| format!("{} {ban}", ban.network)).collect()
        };
        assert_eq!(shown(&file.read()), shown(&bans));
        let text = fs::read_to_string(folder.path().join("gateway.state.bans.toml")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(120);
        assert_eq!(parse(&text, later).unwrap().len(), 1);
    }

    #[test]
    fn a_ban_made_by_a_clock_that_was_ahead_ends_within_the_longest_time() {
        let now = SystemTime::now();
        let text = "bans = [{ address = \"192.0.2.0/24\", since = \"2399-01-01T00:00:00Z\", until = \"2399-01-01T01:00:00Z\", \
                    by = \"alice\" }]";
        let bans = parse(text, now).unwrap();
        assert_eq!(bans[0].until, now + Duration::from_secs(BAN_MAX));
    }

    #[test]
    fn a_file_that_is_not_valid_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = BanFile::beside(Some(&folder.path().join("state.toml")));
        fs::write(folder.path().join("state.bans.toml"), "no bans").unwrap();
        assert!(file.read().is_empty());
        assert!(folder.path().join("state.bans.toml.bad").exists());
        file.write(&limiter_with(Vec::new())).unwrap();
        assert!(file.read().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let file = BanFile::beside(Some(Path::new("/dev/null/state.toml")));
        let error = file.write(&limiter_with(Vec::new())).unwrap_err();
        assert!(
            error.starts_with("/dev/null/state.bans.toml cannot be written"),
            "{error}"
        );
        assert_eq!(BanFile::beside(None).write(&limiter_with(Vec::new())), Ok(()));
    }
}
