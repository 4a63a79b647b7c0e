//! Numbers with units as users write them: durations, byte sizes, bit rates. Pure functions of text.
//!
//! Exact: no floating point, so "0.1s" is 100 ms, and overflows are refused. Independent of the values that a key
//! allows.

use std::time::Duration;

/// The unit of a duration without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Seconds,
}

impl Unit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::Seconds => "s",
        }
    }

    const fn nanos(self) -> u128 {
        match self {
            Self::Micros => 1_000,
            Self::Millis => 1_000_000,
            Self::Seconds => 1_000_000_000,
        }
    }

    /// `duration` in this unit: the shortest exact text with the unit's name.
    pub(crate) fn show(self, duration: Duration) -> String {
        let (whole, rest) = (
            duration.as_nanos() / self.nanos(),
            duration.as_nanos() % self.nanos(),
        );
        if rest == 0 {
            format!("{whole} {}", self.name())
        } else {
            format!("{duration:?}")
        }
    }
}

/// A duration: "120" (in `bare`), "1.5", "120ms", "5s", "1m30s", "2h", "1d".
pub(crate) fn duration(text: &str, bare: Unit) -> Option<Duration> {
    let text = text.trim();
    let mut rest = text;
    let mut nanos = 0u128;
    loop {
        let (number, tail) = Decimal::take(rest)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        let unit = match name.trim() {
            "" if tail.is_empty() && rest == text => bare.nanos(),
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            "d" => 86_400 * 1_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(number.times(unit)?)?;
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let sub = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, sub))
}

/// A size in bytes: "65536", "8MiB", "8 MB", "1.5GiB".
pub(crate) fn bytes(text: &str) -> Option<u64> {
    scaled(text, |unit| {
        Some(match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        })
    })
}

/// A rate in bits per second: "5000000", "5M", "5000k", "5Mb/s", "5 Mbps".
pub(crate) fn bit_rate(text: &str) -> Option<u64> {
    scaled(text, |unit| {
        let scale = ["b/s", "bps", "bit/s"]
            .iter()
            .find_map(|tail| unit.strip_suffix(tail))
            .unwrap_or(unit);
        Some(match scale {
            "" => 1,
            "k" | "K" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            _ => return None,
        })
    })
}

fn scaled(text: &str, unit: impl Fn(&str) -> Option<u128>) -> Option<u64> {
    let (number, tail) = Decimal::take(text.trim())?;
    u64::try_from(number.times(unit(tail.trim())?)?).ok()
}

/// A decimal fraction without a sign: `digits / 10^places`.
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    fn take(text: &str) -> Option<(Self, &str)> {
        let whole = text.bytes().take_while(u8::is_ascii_digit).count();
        let mut number = Self {
            digits: text[..whole].parse().ok()?,
            places: 0,
        };
        let mut rest = &text[whole..];
        if let Some(tail) = rest.strip_prefix('.') {
            let places = tail.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&places) {
                return None;
            }
            number.places = u32::try_from(places).ok()?;
            let fraction = tail[..places].parse::<u128>().ok()?;
            number.digits = number
                .digits
                .checked_mul(10u128.pow(number.places))?
                .checked_add(fraction)?;
            rest = &tail[places..];
        }
        Some((number, rest))
    }

    /// Exact to the resolution of `unit`; rounded up below it, like all sub-unit values in the gateway.
    fn times(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)?.div_ceil(10u128.pow(self.places)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_units_that_users_write() {
        let ms = Duration::from_millis;
        for (text, wanted) in [
            ("120", ms(120)),
            ("120ms", ms(120)),
            ("0.1s", ms(100)),
            ("1.5", Duration::from_micros(1_500)),
            ("5s", ms(5_000)),
            ("1m30s", ms(90_000)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            ("1d", ms(86_400_000)),
            (" 20 ms ", ms(20)),
            ("250us", Duration::from_micros(250)),
        ] {
            assert_eq!(duration(text, Unit::Millis), Some(wanted), "{text}");
        }
        assert_eq!(duration("2", Unit::Seconds), Some(ms(2_000)));
        for text in [
            "",
            "s",
            "-1s",
            "5x",
            "1m30",
            "1e3",
            "1.",
            ".5s",
            "5 5s",
            "99999999999999999999999d",
            "inf",
        ] {
            assert_eq!(duration(text, Unit::Millis), None, "{text}");
        }
    }

    #[test]
    fn sizes_tell_binary_from_decimal_prefixes() {
        for (text, wanted) in [
            ("65536", 65_536),
            ("8MiB", 8 << 20),
            ("8 MB", 8_000_000),
            ("1.5GiB", 3 << 29),
            ("64KiB", 1 << 16),
        ] {
            assert_eq!(bytes(text), Some(wanted), "{text}");
        }
        for text in ["", "MiB", "8M", "-1", "8MiBB", "99999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_bits_a_second() {
        for (text, wanted) in [
            ("5000000", 5_000_000),
            ("5M", 5_000_000),
            ("5000k", 5_000_000),
            ("2.5Mb/s", 2_500_000),
        ] {
            assert_eq!(bit_rate(text), Some(wanted), "{text}");
        }
        for text in ["", "M", "5MB", "5x"] {
            assert_eq!(bit_rate(text), None, "{text}");
        }
    }
}
