//! What goes wrong on purpose.
//!
//! ```text
//! latency=200ms@10%   one request of ten takes 200 ms longer
//! 500=5%              one of twenty is answered with this status; 429 and 503 likewise
//! reset=1%            the connection is reset before anything is done
//! drop=1%             it is done, but the answer is lost
//! corrupt=1%          it is done, but the answer is cut short and garbled
//! leaderless=3s@30s   for the first 3 s of every 30 s there is no leader; `leaderless=3s` for 3 s from now, once
//! freeze=3s@30s       the same, and nobody is answered; `freeze` alone: until it is taken back
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;

use crate::duration::ConsulDuration;

/// Faults, all of them. None by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults(Vec<Fault>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
enum Fault {
    /// Of so many of a hundred, this happens.
    Some(Kind, f64),
    /// While this time lasts, it happens to all.
    During(State, Times),
}

/// What happens to a single request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Latency(Duration),
    Status(StatusCode),
    Reset,
    Drop,
    Corrupt,
}

/// What happens to the whole agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Leaderless,
    Frozen,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Always,
    /// So long, from when it was set.
    Once(Duration),
    /// So long, each time that the other has passed.
    Every(Duration, Duration),
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fate {
    /// It takes so much longer.
    pub latency: Duration,
    /// It is answered with this, and not done.
    pub status: Option<StatusCode>,
    /// There is no leader.
    pub leaderless: bool,
    /// What becomes of the connection.
    pub line: Line,
}

/// What becomes of a request's connection, and of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing.
    #[default]
    Sound,
    /// It is reset; nothing is done.
    Reset,
    /// It is closed in place of an answer.
    Dropped,
    /// The answer is not what it was.
    Garbled,
}

impl Faults {
    /// What happens to a request now, so long after these faults were set.
    pub(super) fn fate(&self, since: Duration) -> Fate {
        let mut fate = Fate::default();
        for fault in &self.0 {
            match fault {
                Fault::Some(kind, percent) if fastrand::f64() * 100.0 < *percent => match kind {
                    Kind::Latency(latency) => fate.latency += *latency,
                    Kind::Status(status) => fate.status = Some(*status),
                    Kind::Reset => fate.line = Line::Reset,
                    Kind::Drop => fate.line = Line::Dropped,
                    Kind::Corrupt => fate.line = Line::Garbled,
                },
                Fault::During(State::Leaderless, times) => fate.leaderless |= times.left(since).is_some(),
                Fault::Some(..) | Fault::During(..) => {}
            }
        }
        fate
    }

    /// How long nobody is answered from now on, so long after these faults were set; `None`: no time at all.
    pub(super) fn frozen(&self, since: Duration) -> Option<Duration> {
        let frozen = self.0.iter().filter_map(|fault| match fault {
            Fault::During(State::Frozen, times) => times.left(since),
            _ => None,
        });
        frozen.max()
    }
}

impl Times {
    /// How long it lasts from here on, if it does.
    fn left(self, since: Duration) -> Option<Duration> {
        match self {
            Self::Always => Some(Duration::MAX),
            Self::Once(time) => time.checked_sub(since).filter(|left| !left.is_zero()),
            Self::Every(time, period) => {
                let into = since.as_nanos().checked_rem(period.as_nanos())?;
                let into = Duration::from_nanos(u64::try_from(into).ok()?);
                time.checked_sub(into).filter(|left| !left.is_zero())
            }
        }
    }
}

/// Why a text names no faults. It says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault: {1}")]
pub struct ParseFaultError(String, &'static str);

impl FromStr for Faults {
    type Err = ParseFaultError;

    /// Several, with commas between them; none, where there is no text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(Fault::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Fault {
    fn parse(text: &str) -> Result<Self, ParseFaultError> {
        const KNOWN: &str = "write latency=200ms@10%, 500=5%, 429=5%, 503=5%, reset=1%, drop=1%, corrupt=1%, leaderless=3s@30s or freeze=3s@30s";
        let fault = |what| ParseFaultError(text.to_owned(), what);
        let share = |share: &str| share_of(share).ok_or_else(|| fault("a share is a number of percent, 0% to 100%"));
        let duration = |time: &str| -> Result<Duration, ParseFaultError> {
            time.parse::<ConsulDuration>().map(Duration::from).map_err(|_| fault("a duration is 200ms, 3s or the like"))
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let state = match name {
            "leaderless" => Some(State::Leaderless),
            "freeze" => Some(State::Frozen),
            _ => None,
        };
        if let Some(state) = state {
            let times = match value.map(|value| value.split_once('@').ok_or(value)) {
                None => Times::Always,
                Some(Err(time)) => Times::Once(duration(time)?),
                Some(Ok((time, period))) => Times::Every(duration(time)?, duration(period)?),
            };
            return match times {
                Times::Every(time, period) if time >= period => Err(fault("it would last longer than its period")),
                times => Ok(Self::During(state, times)),
            };
        }
        let value = value.ok_or_else(|| fault(KNOWN))?;
        Ok(match name {
            "latency" => {
                let (time, of) = value.split_once('@').unwrap_or((value, "100%"));
                Self::Some(Kind::Latency(duration(time)?), share(of)?)
            }
            "reset" => Self::Some(Kind::Reset, share(value)?),
            "drop" => Self::Some(Kind::Drop, share(value)?),
            "corrupt" => Self::Some(Kind::Corrupt, share(value)?),
            "429" => Self::Some(Kind::Status(StatusCode::TOO_MANY_REQUESTS), share(value)?),
            "500" => Self::Some(Kind::Status(StatusCode::INTERNAL_SERVER_ERROR), share(value)?),
            "503" => Self::Some(Kind::Status(StatusCode::SERVICE_UNAVAILABLE), share(value)?),
            _ => return Err(fault(KNOWN)),
        })
    }
}

/// `5%` as 5.
fn share_of(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

impl fmt::Display for Faults {
    /// As they are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |time: &Duration| ConsulDuration::from(*time);
        match self {
            Self::Some(kind, percent) => {
                match kind {
                    Kind::Latency(time) => write!(f, "latency={}@", text(time)),
                    Kind::Status(status) => write!(f, "{}=", status.as_u16()),
                    Kind::Reset => f.write_str("reset="),
                    Kind::Drop => f.write_str("drop="),
                    Kind::Corrupt => f.write_str("corrupt="),
                }?;
                write!(f, "{percent}%")
            }
            Self::During(state, times) => {
                f.write_str(match state {
                    State::Leaderless => "leaderless",
                    State::Frozen => "freeze",
                })?;
                match times {
                    Times::Always => Ok(()),
                    Times::Once(time) => write!(f, "={}", text(time)),
                    Times::Every(time, period) => write!(f, "={}@{}", text(time), text(period)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_shown_alike() {
        for text in [
            "latency=200ms@10%,500=5%,reset=1%,leaderless=3s@30s",
            "429=100%,503=0%,drop=2.5%,corrupt=50%,500=7%",
            "freeze,leaderless=3s,freeze=1s@1m",
            "",
        ] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        assert_eq!("latency=1s".parse::<Faults>().unwrap().to_string(), "latency=1s@100%");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("latency", "write latency=200ms@10%"),
            ("latency=soon", "a duration is"),
            ("500=5", "a share is"),
            ("500=101%", "a share is"),
            ("418=1%", "write latency"),
            ("leaderless=3s@2s", "longer than its period"),
        ] {
            let error = text.parse::<Faults>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn states_come_and_go() {
        let (second, faults) = (Duration::from_secs(1), "leaderless=3s@30s,freeze=2s".parse::<Faults>().unwrap());
        for (at, leaderless) in [(0, true), (2, true), (3, false), (29, false), (30, true), (33, false)] {
            assert_eq!(faults.fate(at * second).leaderless, leaderless, "{at}");
        }
        assert_eq!(faults.frozen(second), Some(second));
        assert_eq!(faults.frozen(2 * second), None);
    }

    #[test]
    fn shares_are_kept() {
        let fates = |text: &str| {
            let faults: Faults = text.parse().unwrap();
            (0..1000).filter(|_| faults.fate(Duration::ZERO).status.is_some()).count()
        };
        assert_eq!((fates("500=0%"), fates("500=100%")), (0, 1000));
        assert!((1..1000).contains(&fates("500=50%")));
    }
}
