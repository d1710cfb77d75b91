//! Who the ranks are and where they meet.

use super::DistributedError;

/// A rank among the ranks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    size: usize,
}

impl Share {
    /// The one rank of a run that has no other.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// A rank, from 0, of so many.
    pub const fn new(rank: usize, size: usize) -> Result<Self, DistributedError> {
        if rank < size {
            Ok(Self { rank, size })
        } else {
            Err(DistributedError::Rank { rank, size })
        }
    }

    /// This rank.
    #[must_use]
    pub const fn rank(self) -> usize {
        self.rank
    }

    /// Ranks of the run.
    #[must_use]
    pub const fn size(self) -> usize {
        self.size
    }

    /// Whether this rank writes what is written once.
    #[must_use]
    pub const fn leads(self) -> bool {
        self.rank == 0
    }

    /// This rank's part of what all share: rank r has the r-th of as many equal parts as there are ranks.
    #[must_use]
    pub fn of<T>(self, mut all: Vec<T>) -> Vec<T> {
        let count = all.len() / self.size;
        let mut own = all.split_off(self.rank * count);
        own.truncate(count);
        own
    }
}

/// Where the ranks meet, as torchrun says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// This rank.
    pub share: Share,
    /// Host of the store (`MASTER_ADDR`).
    pub host: String,
    /// Its port (`MASTER_PORT`).
    pub port: u16,
    /// Whether somebody else serves the store (torchrun's agent does); otherwise rank 0 does.
    pub served: bool,
    /// Seconds without a sign of life after which a rank counts as gone.
    pub silence: u64,
}

impl Rendezvous {
    /// Where the store is.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_order_and_none_is_left_out() {
        let share = |rank| Share::new(rank, 3).unwrap().of((0..6).collect());
        assert_eq!([share(0), share(1), share(2)], [[0, 1], [2, 3], [4, 5]]);
    }

    #[test]
    fn a_rank_beyond_the_last_is_refused() {
        let error = Share::new(2, 2).unwrap_err().to_string();
        assert_eq!(error, "rank 2 of 2: ranks are 0 to 1");
    }
}
