//! Options of encryption. A table; see the parent module.

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// The secret that both sides share; none (an empty text by name) means no encryption, even if the listener has a
    /// passphrase for others. Encryption costs some CPU time per packet.
    Passphrase: Option<crate::Passphrase> {
        SRTO_PASSPHRASE "passphrase", Kind::Secret, "a string of 10 to 79 bytes, or an empty one for no encryption",
        default "none", secret into passphrase
    }

    /// The length of the key, which the sender chooses. On a connected socket, the length in use. Longer keys cost
    /// slightly more CPU time; 128 bits are unbroken, but some contracts require 256 bits.
    KeyLength: values::KeyLength {
        SRTO_PBKEYLEN "pbkeylen", Kind::Names(values::KeyLength::NAMES),
        "0 (\"auto\"), 16 (\"aes-128\"), 24 (\"aes-192\") or 32 (\"aes-256\")",
        default "0 (the peer's, else 16)", connect key_length
    }

    /// The AES mode. GCM detects modified packets and takes 16 bytes of each; older peers do not support it, and the
    /// connection is refused. On a connected socket, the mode in use.
    CryptoMode: values::CryptoMode {
        SRTO_CRYPTOMODE "cryptomode", Kind::Names(values::CryptoMode::NAMES),
        "0 (\"auto\"), 1 (\"ctr\") or 2 (\"gcm\")", default "0", connect crypto_mode
    }

    /// After how many packets the key changes; 0 selects libsrt's default. Fewer packets limit what a broken key
    /// reveals; each change costs a key exchange, and a lost one delays the next. Reduces
    /// [`KeyPreAnnounce`](crate::opt::KeyPreAnnounce) to half of it if needed.
    KeyRefreshRate: u32 {
        SRTO_KMREFRESHRATE "kmrefreshrate", Kind::Int { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (packets; 0 for 16777216)", default "0 (16777216)", connect key_refresh_rate
    }

    /// How many packets before a change the next key is announced, and how long the old one is kept afterwards; less
    /// than half of [`KeyRefreshRate`](crate::opt::KeyRefreshRate). More packets tolerate lost announcements on slow or
    /// lossy links.
    KeyPreAnnounce: u32 {
        SRTO_KMPREANNOUNCE "kmpreannounce", Kind::Int { min: 0, max: INT_MAX, special: None },
        "0 to 2147483647 (packets, less than half of \"kmrefreshrate\"; 0 for 4096)",
        default "0 (4096)", connect key_pre_announce
    }

    /// Whether a connection is refused if only one side has a passphrase, or they differ. If off, it is established,
    /// with data that cannot be decrypted in one direction or both; see [`key_state`](crate::SrtSocket::key_state). For
    /// tests and very old peers only.
    EnforcedEncryption: bool {
        SRTO_ENFORCEDENCRYPTION "enforcedencryption", Kind::Flag, "true or false", default "true",
        connect enforced_encryption
    }
}
