//! What a client says about a request beside what it asks for: how long it waits, and how soon it needs the answer.
//!
//! Both are headers, and fields for those who cannot set headers; a field goes before a header.

use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;

use crate::input::parameters::{PRIORITY, TIMEOUT_MS, X_PRIORITY, X_REQUEST_TIMEOUT};
use crate::input::{Fields, invalid};
use crate::problem::Problem;

/// How long the client waits, in seconds.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static(X_REQUEST_TIMEOUT.name);
/// How soon it needs the answer.
const PRIORITY_HEADER: HeaderName = HeaderName::from_static(X_PRIORITY.name);
/// Longest wait that is told apart from none at all, in seconds: a year.
const LONGEST: f64 = 31_536_000.0;

/// How soon an answer is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lane {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// It may wait for those, within bounds.
    Bulk,
}

impl FromStr for Lane {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "interactive" => Ok(Self::Interactive),
            "bulk" => Ok(Self::Bulk),
            _ => Err("it is neither interactive nor bulk"),
        }
    }
}

/// When an answer is no longer of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// The moment.
    pub(crate) at: Instant,
    /// How long the request had.
    pub(crate) allowed: Duration,
    /// Who said so.
    pub(crate) set_by: Party,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// Whoever asked.
    Client,
    /// This server.
    Server,
}

impl Deadline {
    /// Whether it is past.
    pub(crate) fn is_past(self) -> bool {
        self.at <= Instant::now()
    }
}

/// What a client says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    arrived: Instant,
    timeout: Option<Duration>,
    /// How soon it needs the answer.
    pub(crate) lane: Lane,
}

impl Demand {
    /// Of a request whose head has just arrived.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let lane: Option<Lane> = parsed(headers, &PRIORITY_HEADER)?;
        let Seconds(timeout) = parsed(headers, &TIMEOUT_HEADER)?.unwrap_or(Seconds(None));
        Ok(Self {
            arrived: Instant::now(),
            timeout,
            lane: lane.unwrap_or_default(),
        })
    }

    /// With what the fields say.
    pub(crate) fn with(mut self, fields: &mut Fields) -> Result<Self, Problem> {
        if let Some(milliseconds) = fields.take(TIMEOUT_MS)? {
            self.timeout = Some(Duration::from_millis(milliseconds));
        }
        self.lane = fields.take(PRIORITY)?.unwrap_or(self.lane);
        Ok(self)
    }

    /// With a wait and a lane that the client gives in a way of its protocol, if it does.
    pub(crate) fn within(mut self, timeout: Option<Duration>, lane: Option<Lane>) -> Self {
        self.timeout = timeout.or(self.timeout);
        self.lane = lane.unwrap_or(self.lane);
        self
    }

    /// When the answer is no longer of use: as the client says, counted from its request's head, and at the latest so
    /// long from now as the server waits for any.
    pub(crate) fn deadline(&self, longest: Duration) -> Deadline {
        let now = Instant::now();
        let servers = Deadline {
            at: now + longest,
            allowed: longest,
            set_by: Party::Server,
        };
        let clients = self.timeout.and_then(|allowed| {
            let at = self.arrived.checked_add(allowed)?;
            Some(Deadline {
                at,
                allowed,
                set_by: Party::Client,
            })
        });
        clients
            .filter(|clients| clients.at < servers.at)
            .unwrap_or(servers)
    }
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

    fn demand(headers: &[(HeaderName, &str)]) -> Result<Demand, Problem> {
        let pairs = headers.iter().cloned();
        Demand::of(
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
            let deadline = demand(&[(TIMEOUT_HEADER, text)]).unwrap().deadline(LONG);
            assert_eq!(deadline.allowed, allowed, "{text}");
        }
        assert_eq!(demand(&[]).unwrap().deadline(LONG).allowed, LONG);
        assert!(
            demand(&[(TIMEOUT_HEADER, "0")])
                .unwrap()
                .deadline(LONG)
                .is_past()
        );
    }

    #[test]
    fn the_lane_is_interactive_unless_it_is_said_to_be_bulk() {
        assert_eq!(demand(&[]).unwrap().lane, Lane::Interactive);
        assert_eq!(
            demand(&[(PRIORITY_HEADER, "bulk")]).unwrap().lane,
            Lane::Bulk
        );
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
            let refused = demand(&[(name.clone(), value)]).unwrap_err();
            assert!(
                matches!(refused, Problem::InvalidField { field, .. } if field == name.as_str())
            );
        }
    }
}
