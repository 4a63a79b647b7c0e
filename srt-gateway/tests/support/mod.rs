//! A gateway in this process, and callers on loopback.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHasher, password_hash::SaltString};
use srt_gateway::{Gateway, config::Config};
use srt_safe::{Options, Passphrase, SrtSocket, StreamId};

/// A gateway with this configuration.
pub(crate) fn gateway(toml: &str) -> Gateway {
    let config = Config::parse(toml).unwrap_or_else(|errors| panic!("{errors}"));
    Gateway::start(&config).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until `look` finds something.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A caller to be.
#[derive(Clone)]
pub(crate) struct Caller {
    to: SocketAddr,
    options: Options,
}

impl Caller {
    pub(crate) fn to(to: SocketAddr) -> Self {
        let options = Options::new()
            .latency(Duration::from_millis(20))
            .connect_timeout(Duration::from_secs(5));
        Self { to, options }
    }

    pub(crate) fn streamid(mut self, streamid: &str) -> Self {
        self.options = self.options.stream_id(StreamId::new(streamid).unwrap());
        self
    }

    pub(crate) fn passphrase(mut self, passphrase: Option<&str>) -> Self {
        if let Some(passphrase) = passphrase {
            self.options = self.options.passphrase(Passphrase::new(passphrase).unwrap());
        }
        self
    }

    /// Connects, blocking.
    pub(crate) fn connect(&self) -> srt_safe::Result<SrtSocket> {
        SrtSocket::builder()
            .options(self.options.clone())
            .connect(self.to)
    }

    /// Is refused: the code that it is told.
    pub(crate) fn refused(&self) -> i32 {
        match self.connect() {
            Ok(_) => panic!("admitted"),
            Err(error) => error.reject_reason().unwrap_or_else(|| panic!("{error}")).value(),
        }
    }
}

/// A password as a PHC string.
pub(crate) fn hashed(password: &str) -> String {
    let salt = SaltString::encode_b64(b"some salt here").unwrap();
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.unwrap().to_string()
}
