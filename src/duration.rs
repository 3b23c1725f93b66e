//! Consul's durations: Go's notation (`15s`, `1m30s`, `1.5m`) or a bare number of seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units by name, in nanoseconds, as Go's `time.ParseDuration` knows them. Consul has no days.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, the micro sign
    ("μs", 1_000), // U+03BC, the Greek letter
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

const SECOND: u64 = 1_000_000_000;

/// The longest duration that Go, and so Consul, can hold: 2^63 - 1 nanoseconds, some 292 years.
const MAX_NANOS: u64 = i64::MAX as u64;

/// A length of time, never negative, to the nanosecond.
///
/// Two durations are equal when they last equally long, however they were written: `90s` is `1m30s` is `1.5m`.
///
/// ```
/// use lictor::duration::ConsulDuration;
///
/// let ttl: ConsulDuration = "1.5m".parse()?;
/// assert_eq!(ttl, "90".parse()?);
/// assert_eq!(ttl.to_string(), "1m30s");
/// # Ok::<(), lictor::duration::ParseDurationError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsulDuration(u64);

/// Why a text is not a duration. It prints as a sentence that says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDurationError {
    /// Neither a number nor numbers with units.
    #[error(
        "{0:?} is not a duration: write seconds (20) or numbers with units (20s, 1m30s); units are ns, us, ms, s, m, h"
    )]
    Malformed(String),
    /// Below zero.
    #[error("{0:?} is a negative duration")]
    Negative(String),
    /// Longer than Consul can hold.
    #[error("{0:?} is longer than Consul can hold (about 292 years)")]
    TooLong(String),
}

impl ConsulDuration {
    /// This many nanoseconds, the unit of Consul's JSON answers.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This many seconds. What is too long to hold becomes the longest that can be held.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Its length in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// True for no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for ConsulDuration {
    /// The longest that there is, some 584 years, where it is longer.
    fn from(duration: Duration) -> Self {
        Self::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<ConsulDuration> for Duration {
    fn from(duration: ConsulDuration) -> Self {
        Self::from_nanos(duration.0)
    }
}

impl FromStr for ConsulDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseDurationError::Malformed(text.to_owned());
        let too_long = || ParseDurationError::TooLong(text.to_owned());
        let mut rest = text.trim();
        if rest.starts_with('-') {
            return Err(ParseDurationError::Negative(text.to_owned()));
        }
        rest = rest.strip_prefix('+').unwrap_or(rest);
        if rest.is_empty() {
            return Err(malformed());
        }
        let all = rest;
        let mut nanos: u64 = 0;
        while !rest.is_empty() {
            let (number, after) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
            let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
            let scale = match unit {
                "" if number == all => SECOND, // a bare number: seconds
                unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(malformed)?,
            };
            let part = scaled(number, scale).ok_or_else(malformed)?;
            nanos = part.and_then(|part| nanos.checked_add(part)).filter(|n| *n <= MAX_NANOS).ok_or_else(too_long)?;
            rest = after;
        }
        Ok(Self(nanos))
    }
}

/// `text` up to the first character that `stop` accepts, and the rest.
fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

/// `number` ("1", "1.5", ".5") times `scale`, below a nanosecond cut off.
/// `None` where it is no number, `Some(None)` where the product does not fit.
fn scaled(number: &str, scale: u64) -> Option<Option<u64>> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    // Eighteen decimals are more than the longest unit (an hour, 3.6e12 ns) can show.
    let fraction: u128 = fraction
        .bytes()
        .take(18)
        .fold((0, 10_u128.pow(18)), |(sum, place), digit| {
            let place = place / 10;
            (sum + u128::from(digit - b'0') * place, place)
        })
        .0;
    let fraction = fraction * u128::from(scale) / 10_u128.pow(18);
    Some(
        whole
            .and_then(|whole| whole.checked_mul(scale))
            .and_then(|whole| whole.checked_add(u64::try_from(fraction).ok()?)),
    )
}

impl fmt::Display for ConsulDuration {
    /// As Go prints it, but without parts that are zero: `1h30m`, `20s`, `1.5ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        let (unit, scale) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("us", 1_000),
            1_000_000..SECOND => ("ms", 1_000_000),
            _ => ("s", SECOND),
        };
        let (minutes, below) =
            if scale == SECOND { (nanos / (60 * SECOND), nanos % (60 * SECOND)) } else { (0, nanos) };
        let (hours, minutes) = (minutes / 60, minutes % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if below == 0 {
            return Ok(());
        }
        let (whole, fraction) = (below / scale, below % scale);
        if fraction == 0 {
            return write!(f, "{whole}{unit}");
        }
        let width = scale.ilog10() as usize;
        let decimals = format!("{fraction:0width$}");
        write!(f, "{whole}.{}{unit}", decimals.trim_end_matches('0'))
    }
}

impl Serialize for ConsulDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConsulDuration {
    /// From a text in Go's notation, or from a number of seconds.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = ConsulDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 20s, or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
                self.visit_str(&seconds.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// What a duration's text looks like, in a schema.
pub(crate) const PATTERN: &str =
    r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)((ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)?$";

impl JsonSchema for ConsulDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": PATTERN,
            "minimum": 0
        })
    }
}

/// A time as people read it, to the second: `2026-11-21T15:38:42Z`. What no such text can hold, for a clock may say
/// anything, stands as the first or the last time that one can.
pub fn time_text(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799); // the end of the year 9999
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since.min(LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> u64 {
        text.parse::<ConsulDuration>().unwrap().as_nanos()
    }

    #[test]
    fn every_time_has_a_text() {
        let (epoch, second) = (SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        assert_eq!(time_text(epoch + second), "1970-01-01T00:00:01Z");
        assert_eq!(time_text(epoch - second), "1970-01-01T00:00:00Z");
        assert_eq!(time_text(epoch + Duration::from_secs(253_402_300_800)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn reads_what_consul_reads_and_bare_seconds() {
        for (text, expected) in [
            ("15s", 15 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1.5m", 90 * SECOND),
            ("20", 20 * SECOND),
            ("1.5", 1_500_000_000),
            (".5s", 500_000_000),
            ("1h0m0s", 3_600 * SECOND),
            ("0", 0),
            ("0s", 0),
            ("500ns", 500),
            ("7us", 7_000),
            ("7µs", 7_000),
            (" 2ms ", 2_000_000),
            ("+3s", 3 * SECOND),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", " ", "s", "1d", "1 s", "1s30", "0s30", "1..5s", ".", "1S", "ten", "1e3s", "0x10"] {
            assert!(matches!(text.parse::<ConsulDuration>(), Err(ParseDurationError::Malformed(_))), "{text}");
        }
        assert!(matches!("-5s".parse::<ConsulDuration>(), Err(ParseDurationError::Negative(_))));
        for text in ["9223372037s", "99999999999999999999h"] {
            assert!(matches!(text.parse::<ConsulDuration>(), Err(ParseDurationError::TooLong(_))), "{text}");
        }
    }

    #[test]
    fn prints_the_shortest_exact_form() {
        for (text, printed) in [
            ("20", "20s"),
            ("90s", "1m30s"),
            ("3600", "1h"),
            ("1500ms", "1.5s"),
            ("1500us", "1.5ms"),
            ("61.25s", "1m1.25s"),
            ("999ns", "999ns"),
            ("0", "0s"),
        ] {
            assert_eq!(text.parse::<ConsulDuration>().unwrap().to_string(), printed);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_equal(nanos in 0..=MAX_NANOS) {
            let duration = ConsulDuration::from_nanos(nanos);
            prop_assert_eq!(duration.to_string().parse::<ConsulDuration>().unwrap(), duration);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<ConsulDuration>();
        }
    }
}
