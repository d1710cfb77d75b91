//! How a client says how long it waits, and how soon it needs the answer: headers, and fields for those who cannot set
//! headers; a field goes before a header.

use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName};

use super::Problem;
use super::fields::{Fields, invalid};
use super::parameters::{PRIORITY, TIMEOUT_MS, X_PRIORITY, X_REQUEST_TIMEOUT};
use crate::engine::{Lane, Urgency};

/// How long the client waits, in seconds.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static(X_REQUEST_TIMEOUT.name);
/// How soon it needs the answer.
const PRIORITY_HEADER: HeaderName = HeaderName::from_static(X_PRIORITY.name);
/// Longest wait that is told apart from none at all, in seconds: a year.
const LONGEST: f64 = 31_536_000.0;

/// Of a request whose head has just arrived.
pub(crate) fn urgency(headers: &HeaderMap) -> Result<Urgency, Problem> {
    let lane: Option<Lane> = parsed(headers, &PRIORITY_HEADER)?;
    let Seconds(timeout) = parsed(headers, &TIMEOUT_HEADER)?.unwrap_or(Seconds(None));
    Ok(Urgency {
        arrived: Instant::now(),
        timeout,
        lane: lane.unwrap_or_default(),
    })
}

/// With what the fields say.
pub(crate) fn urgency_with(urgency: Urgency, fields: &mut Fields) -> Result<Urgency, Problem> {
    let timeout: Option<u64> = fields.take(TIMEOUT_MS)?;
    let lane = fields.take(PRIORITY)?;
    Ok(urgency.within(timeout.map(Duration::from_millis), lane))
}

/// A header's value, if it is there.
fn parsed<T: FromStr<Err = &'static str>>(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<T>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let value = text.trim().parse();
    value
        .map(Some)
        .map_err(|detail| invalid(name.as_str(), detail))
}

/// A wait in seconds, decimals allowed; none where it is longer than anybody waits.
struct Seconds(Option<Duration>);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<f64>() {
            Ok(seconds) if seconds > LONGEST => Ok(Self(None)),
            Ok(seconds) if seconds >= 0.0 => Ok(Self(Some(Duration::from_secs_f64(seconds)))),
            _ => Err("it is no number of seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn read(headers: &[(HeaderName, &str)]) -> Result<Urgency, Problem> {
        let pairs = headers.iter().cloned();
        urgency(
            &pairs
                .map(|(name, value)| (name, value.parse().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn a_client_waits_as_long_as_it_says_and_never_longer_than_the_server() {
        for (text, allowed) in [
            ("0.25", Duration::from_millis(250)),
            ("0", Duration::ZERO),
            ("59", Duration::from_secs(59)),
            ("61", LONG),
            ("1e300", LONG),
            ("inf", LONG),
        ] {
            let deadline = read(&[(TIMEOUT_HEADER, text)]).unwrap().deadline(LONG);
            assert_eq!(deadline.allowed, allowed, "{text}");
        }
        assert_eq!(read(&[]).unwrap().deadline(LONG).allowed, LONG);
        assert!(
            read(&[(TIMEOUT_HEADER, "0")])
                .unwrap()
                .deadline(LONG)
                .is_past()
        );
    }

    #[test]
    fn the_lane_is_interactive_unless_it_is_said_to_be_bulk() {
        assert_eq!(read(&[]).unwrap().lane, Lane::Interactive);
        assert_eq!(read(&[(PRIORITY_HEADER, "bulk")]).unwrap().lane, Lane::Bulk);
    }

    #[test]
    fn headers_that_say_nothing_are_refused() {
        for (name, value) in [
            (TIMEOUT_HEADER, "soon"),
            (TIMEOUT_HEADER, "-1"),
            (TIMEOUT_HEADER, "NaN"),
            (TIMEOUT_HEADER, ""),
            (PRIORITY_HEADER, "first"),
        ] {
            let refused = read(&[(name.clone(), value)]).unwrap_err();
            assert!(
                matches!(refused, Problem::InvalidField { field, .. } if field == name.as_str())
            );
        }
    }
}
