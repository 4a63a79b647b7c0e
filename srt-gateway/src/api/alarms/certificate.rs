//! Reads the validity period of an X.509 certificate from its DER encoding. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Expiry {
    pub(in crate::api) begin: SystemTime,
    pub(in crate::api) end: SystemTime,
}

/// An alarm about a certificate is raised at most this long before its end.
const EARLY: Duration = Duration::from_secs(14 * 86_400);

impl Expiry {
    /// Whether to renew it: less than a quarter of its lifetime is left, and less than 14 days.
    pub(super) fn is_near(&self, now: SystemTime) -> bool {
        let life = self.end.duration_since(self.begin).unwrap_or_default();
        let left = self.end.duration_since(now).unwrap_or_default();
        left < EARLY.min(life / 4)
    }
}

/// The validity period of a certificate; None: it cannot be parsed.
pub(in crate::api) fn expiry(der: &[u8]) -> Option<Expiry> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // [0] version, which may be absent, serialNumber, signature, issuer.
    let (tag, _, after) = element(rest)?;
    if tag == 0xa0 {
        rest = after;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (begin_tag, begin, rest) = element(validity)?;
    let (end_tag, end, _) = element(rest)?;
    Some(Expiry {
        begin: time(begin_tag, begin)?,
        end: time(end_tag, end)?,
    })
}

/// Tag, content and the remaining bytes.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// UTCTime (`YYMMDDhhmmssZ`) and GeneralizedTime (`YYYYMMDDhhmmssZ`), as RFC 5280 allows them.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        0x17 if text.get(..2)? < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (date, clock) = text.split_at(8);
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    // A certificate without an end has 99991231235959Z.
    let far = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    Some(humantime::parse_rfc3339(&rfc3339).unwrap_or(far).min(far))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_of_a_certificate_are_read() {
        let mut params = rcgen::CertificateParams::new(vec!["gw.example".to_owned()]).unwrap();
        for (begin, end, wanted) in [
            (
                (2026, 1, 2),
                (2026, 4, 2),
                ["2026-01-02T00:00:00Z", "2026-04-02T00:00:00Z"],
            ),
            (
                (1999, 1, 2),
                (2051, 4, 2),
                ["1999-01-02T00:00:00Z", "2051-04-02T00:00:00Z"],
            ),
        ] {
            params.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
            params.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let found = expiry(certificate.der()).unwrap();
            let shown =
                [found.begin, found.end].map(|time| humantime::format_rfc3339_seconds(time).to_string());
            assert_eq!(shown, wanted);
            for end in 0..certificate.der().len() {
                // No truncated certificate causes a panic or an out-of-bounds read.
                assert!(expiry(&certificate.der()[..end]).is_none_or(|part| part == found));
            }
        }
    }

    #[test]
    fn it_is_time_when_a_quarter_is_left_or_two_weeks() {
        let day = |day: u64| UNIX_EPOCH + Duration::from_secs(day * 86_400);
        let of = |days| Expiry {
            begin: day(0),
            end: day(days),
        };
        assert!(!of(90).is_near(day(75)) && of(90).is_near(day(77)));
        assert!(!of(8).is_near(day(5)) && of(8).is_near(day(7)));
        assert!(of(8).is_near(day(9)));
    }
}
