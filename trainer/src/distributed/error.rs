//! Why ranks do not work together.

/// Why ranks cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DistributedError {
    /// A rank that is none of the run's.
    #[error("rank {rank} of {size}: ranks are 0 to {}", size.saturating_sub(1))]
    Rank {
        /// The rank.
        rank: usize,
        /// Ranks of the run.
        size: usize,
    },
    /// A batch that cannot be divided.
    #[error("a batch of {batch} cannot be divided by {ranks} ranks of {parts} parts each: give a multiple of {}", ranks * parts)]
    Uneven {
        /// Images of a step.
        batch: u64,
        /// Ranks of the run.
        ranks: u64,
        /// Parts of a rank's share.
        parts: u64,
    },
    /// The ranks did not find each other.
    #[error("rank {rank} of {size} did not meet the others at {address}: {reason}")]
    Alone {
        /// This rank.
        rank: usize,
        /// Ranks of the run.
        size: usize,
        /// Where they meet.
        address: String,
        /// What libtorch said.
        reason: String,
    },
    /// A rank is gone.
    #[error(
        "rank {rank} of {size} no longer answers: this rank stops too; start all again to go on"
    )]
    Gone {
        /// The rank.
        rank: usize,
        /// Ranks of the run.
        size: usize,
    },
    /// The store is gone, and rank 0 with it where it held the store.
    #[error(
        "the store at {address} no longer answers: this rank stops too; start all again to go on"
    )]
    Store {
        /// Where it was.
        address: String,
    },
    /// A collective failed though every rank answers.
    #[error("the ranks cannot compute together: {reason}")]
    Collective {
        /// What libtorch said.
        reason: String,
    },
}
