//! A caller's key material: finds by trial which passphrase it was made with.
//!
//! The message and the key derivation follow the SRT protocol (draft-sharabayko-srt, sections 3.2.2 and 6.1.5): PBKDF2
//! derives a key from the passphrase, and that key must unwrap the stream's key (RFC 3394), whose integrity check fails
//! for any other passphrase. Pure functions; for their cost in the listen callback see [`KeyRequest::opens_with`].

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    pbkdf2,
};

use crate::{AccessRequest, KeyLength, Passphrase, handshake};

/// Rounds of PBKDF2 (`HAICRYPT_PBKDF2_ITER_CNT` of hcrypt_msg.h).
const ROUNDS: NonZeroU32 = NonZeroU32::new(2048).unwrap();

/// Bytes of salt on the wire; the derivation uses the last eight.
const SALT: usize = 16;

/// The integrity check value before a wrapped key, which proves that it was unwrapped correctly (RFC 3394, section
/// 2.2.3).
const CHECK: [u8; 8] = [0xA6; 8];

/// The message's first bytes: version 1, packet type 2 (key material), and HaiCrypt's signature.
const HEAD: [u8; 3] = [0x12, 0x20, 0x29];

/// The key material of a caller's handshake: the stream's key, wrapped with a key derived from the caller's passphrase.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    length: KeyLength,
    salt: [u8; 8],
    wrapped: Box<[u8]>,
}

impl AccessRequest<'_> {
    /// The key material that the caller sent. None for a caller without a passphrase, and if the library does not show
    /// it (no edit `handshake-view`); [`handshake`](Self::handshake) distinguishes the two.
    ///
    /// # Examples
    /// ```
    /// use srt_safe::{AccessRequest, Admission, Passphrase, RejectCode, SrtListener};
    ///
    /// let valid = [Passphrase::new("the new passphrase")?, Passphrase::new("the old passphrase")?];
    /// let listener = SrtListener::builder()
    ///     .access_control(move |request: &AccessRequest<'_>| {
    ///         let key = request.key_request().ok_or(RejectCode::UNAUTHORIZED)?;
    ///         let used = valid.iter().find(|passphrase| key.opens_with(passphrase));
    ///         used.map(|used| Admission::new().passphrase(used.clone())).ok_or(RejectCode::UNAUTHORIZED)
    ///     })
    ///     .bind("127.0.0.1:0")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn key_request(&self) -> Option<KeyRequest> {
        handshake::key_material(KeyRequest::parse)
    }
}

impl KeyRequest {
    /// Parses the words of a key material message, in host order.
    fn parse(words: &[u32]) -> Option<Self> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let (head, rest) = bytes.split_at_checked(16)?;
        let [_, _, salt_words, key_words] = *head.last_chunk::<4>()?;
        let length = match key_words {
            4 => KeyLength::Aes128,
            6 => KeyLength::Aes192,
            8 => KeyLength::Aes256,
            _ => return None,
        };
        // One key, or two of them (even and odd).
        let keys = match head[3] & 3 {
            0 => return None,
            3 => 2,
            _ => 1,
        };
        let wrapped_len = CHECK.len() + keys * usize::from(key_words) * 4;
        let (salt, rest) = rest.split_at_checked(SALT)?;
        if !head.starts_with(&HEAD) || usize::from(salt_words) * 4 != SALT || rest.len() < wrapped_len {
            return None;
        }
        Some(Self {
            length,
            salt: *salt.last_chunk()?,
            wrapped: rest[..wrapped_len].into(),
        })
    }

    /// The length of the stream's key, which is also that of the wrapping key.
    #[must_use]
    pub const fn key_length(&self) -> KeyLength {
        self.length
    }

    /// The salt of the derivation, new for each attempt.
    #[must_use]
    pub const fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The wrapped key: [`opens_with`](Self::opens_with) depends only on this and the salt.
    #[must_use]
    pub fn wrapped(&self) -> &[u8] {
        &self.wrapped
    }

    /// Whether the caller has this passphrase. Costs 2048 rounds of HMAC-SHA-1, or twice that for keys longer than 20
    /// bytes: 0.4 to 0.6 ms, and 0.9 to 1.2 ms, measured on one core of a small and busy server. The port's other
    /// callers wait meanwhile, so use it for a handful of passphrases, not for a list of users.
    #[must_use]
    pub fn opens_with(&self, passphrase: &Passphrase) -> bool {
        let (algorithm, len) = match self.length {
            KeyLength::Aes192 => (&AES_192, 24),
            KeyLength::Aes256 => (&AES_256, 32),
            _ => (&AES_128, 16),
        };
        let mut key = [0; 32];
        let key = &mut key[..len];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA1,
            ROUNDS,
            &self.salt,
            passphrase.expose(),
            key,
        );
        let unbound = UnboundCipherKey::new(algorithm, key);
        key.fill(0);
        // aws-lc-rs unwraps with AES-128 and AES-256 only, hence block by block.
        let cipher = unbound.and_then(DecryptingKey::ecb);
        cipher.is_ok_and(|cipher| unwraps(&cipher, &self.wrapped))
    }
}

/// The unwrapping of RFC 3394, section 2.2.2, of which only the integrity check is used.
fn unwraps(cipher: &DecryptingKey, wrapped: &[u8]) -> bool {
    let (Some((check, blocks)), mut block) = (wrapped.split_first_chunk::<8>(), [0; 16]) else {
        return false;
    };
    let mut check = u64::from_be_bytes(*check);
    let mut blocks = blocks.to_vec();
    let count = blocks.len() / 8;
    for step in (1..=6 * count).rev() {
        let register = &mut blocks[(step - 1) % count * 8..][..8];
        block[..8].copy_from_slice(&(check ^ step as u64).to_be_bytes());
        block[8..].copy_from_slice(register);
        if cipher.decrypt(&mut block, DecryptionContext::None).is_err() {
            return false;
        }
        check = block[..8]
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        register.copy_from_slice(&block[8..]);
    }
    blocks.fill(0);
    check == u64::from_be_bytes(CHECK)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::key_wrap::{AES_128 as WRAP_128, AES_256 as WRAP_256, AesKek, KeyWrap};
    use proptest::prelude::*;

    use super::*;

    /// A message like a caller's, wrapped by another implementation than the tested one.
    fn message(passphrase: &str, length: KeyLength, keys: usize) -> Vec<u32> {
        let (words, block, len) = match length {
            KeyLength::Aes256 => (8, &WRAP_256, 32),
            _ => (4, &WRAP_128, 16),
        };
        let salt: Vec<u8> = (0..16).collect();
        let mut kek = vec![0; len];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA1,
            ROUNDS,
            &salt[8..],
            passphrase.as_bytes(),
            &mut kek,
        );
        let stream_key = vec![7; len * keys];
        let mut room = vec![0; len * keys + 8];
        let kek = AesKek::new(block, &kek).unwrap();
        let wrapped = kek.wrap(&stream_key, &mut room).unwrap();
        let keys = if keys == 2 { 3 } else { 1 };
        let mut bytes = vec![0x12, 0x20, 0x29, keys, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, words];
        bytes.extend(salt);
        bytes.extend_from_slice(wrapped);
        bytes
            .chunks(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn only_the_passphrase_that_wrapped_it_opens_it() {
        let passphrase = |text| Passphrase::new(text).unwrap();
        for length in [KeyLength::Aes128, KeyLength::Aes256] {
            for keys in [1, 2] {
                let request = KeyRequest::parse(&message("the right passphrase", length, keys)).unwrap();
                assert_eq!(request.key_length(), length);
                assert!(request.opens_with(&passphrase("the right passphrase")));
                assert!(!request.opens_with(&passphrase("the wrong passphrase")));
            }
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_none() {
        let words = message("the right passphrase", KeyLength::Aes128, 1);
        for len in 0..words.len() {
            assert!(KeyRequest::parse(&words[..len]).is_none(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_a_message_or_none(words in prop::collection::vec(any::<u32>(), 0..40)) {
            let mut head = vec![0x1220_2901, 0, 0x0200_0200, 0x0000_0404];
            let _ = KeyRequest::parse(&words);
            head.extend(words);
            prop_assert_eq!(KeyRequest::parse(&head).is_some(), head.len() >= 4 + 4 + 6);
        }
    }
}
