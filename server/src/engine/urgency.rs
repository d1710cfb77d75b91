//! How long the answer to a request is of use, and how soon it is needed.

use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Deserialize;

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

/// What a client says about a request beside what it asks for: how long it waits, and how soon it needs the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urgency {
    /// When the request's head arrived.
    pub(crate) arrived: Instant,
    /// How long the client waits from then on, if it says so.
    pub(crate) timeout: Option<Duration>,
    /// How soon it needs the answer.
    pub(crate) lane: Lane,
}

impl Urgency {
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
