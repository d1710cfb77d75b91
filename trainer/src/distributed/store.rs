//! The store of a run: where the ranks find each other, and leave signs of life.

use super::ffi::RawStore;
use super::{DistributedError, Rendezvous};

/// How long ranks wait for each other at the start, in milliseconds.
pub(super) const PATIENCE: i64 = 300_000;

/// Key of the rank that was found dead first.
const GONE: &str = "detcon/gone";
/// What a rank leaves behind that ends as it should.
const LEFT: &str = "left";

/// What a rank said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing yet.
    None,
    /// It lives; the text changes with every beat.
    Beat(String),
    /// It has ended.
    Left,
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Store {
    raw: RawStore,
    rendezvous: Rendezvous,
}

impl Store {
    /// Serves or finds the store. The first connection of rank 0 serves it, unless somebody else does.
    pub(super) fn open(
        rendezvous: &Rendezvous,
        serves: bool,
        timeout: i64,
    ) -> Result<Self, DistributedError> {
        let raw = RawStore::open(&rendezvous.host, rendezvous.port, serves, timeout);
        let raw = raw.map_err(|reason| DistributedError::Alone {
            rank: rendezvous.share.rank(),
            size: rendezvous.share.size(),
            address: rendezvous.address(),
            reason,
        })?;
        Ok(Self {
            raw,
            rendezvous: rendezvous.clone(),
        })
    }

    pub(super) const fn raw(&self) -> &RawStore {
        &self.raw
    }

    pub(super) fn beat(&self, count: u64) -> Result<(), DistributedError> {
        self.say(&count.to_string())
    }

    pub(super) fn leave(&self) -> Result<(), DistributedError> {
        self.say(LEFT)
    }

    fn say(&self, what: &str) -> Result<(), DistributedError> {
        let key = sign_of(self.rendezvous.share.rank());
        self.raw.set(&key, what).map_err(|_| self.lost())
    }

    pub(super) fn sign(&self, rank: usize) -> Result<Sign, DistributedError> {
        let sign = self.raw.get(&sign_of(rank)).map_err(|_| self.lost())?;
        Ok(match sign {
            None => Sign::None,
            Some(sign) if sign == LEFT => Sign::Left,
            Some(sign) => Sign::Beat(sign),
        })
    }

    /// Tells the others that a rank is gone, unless they know of one already.
    pub(super) fn mourn(&self, rank: usize) -> Result<(), DistributedError> {
        self.raw
            .claim(GONE, &rank.to_string())
            .map_err(|_| self.lost())
    }

    /// The rank that is gone, if one is.
    pub(super) fn gone(&self) -> Result<Option<usize>, DistributedError> {
        let gone = self.raw.get(GONE).map_err(|_| self.lost())?;
        Ok(gone.and_then(|rank| rank.parse().ok()))
    }

    /// Why the store does not answer: it went with rank 0, where that served it.
    fn lost(&self) -> DistributedError {
        if self.rendezvous.served {
            return DistributedError::Store {
                address: self.rendezvous.address(),
            };
        }
        DistributedError::Gone {
            rank: 0,
            size: self.rendezvous.share.size(),
        }
    }
}

fn sign_of(rank: usize) -> String {
    format!("detcon/rank/{rank}")
}
