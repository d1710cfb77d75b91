//! Which of several workers this one is, and so which of a data set's shards or parts it writes: as the command line
//! says it, or the scheduler that started it. It refuses numbers that leave some of the work to nobody.

use std::num::NonZeroU32;
use std::str::FromStr;

use serde::Serialize;

/// One of several workers on one data set: it writes those shards whose index is `index` modulo `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// The whole data set.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The share of worker `index`, from 0, of `count`.
    #[must_use]
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count {
            Some(Self { index, count })
        } else {
            None
        }
    }

    /// Whether a shard belongs to it.
    #[must_use]
    pub const fn holds(self, shard: u32) -> bool {
        shard % self.count == self.index
    }

    /// A file's name that tells shares apart.
    #[must_use]
    pub fn file(self, stem: &str, ending: &str) -> String {
        if self == Self::WHOLE {
            format!("{stem}.{ending}")
        } else {
            format!("{stem}-{}-of-{}.{ending}", self.index, self.count)
        }
    }
}

impl FromStr for Share {
    type Err = &'static str;

    /// Reads `i/n`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (index, count) = text.split_once('/').unwrap_or((text, ""));
        let share = match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) => Self::new(index, count),
            _ => None,
        };
        share.ok_or("write i/n with i from 0 to n-1, such as 0/4")
    }
}

/// Why it is not known which worker this is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// A Job's worker, and nobody says of how many.
    #[error(
        "JOB_COMPLETION_INDEX is {index}, so this is one of several workers: give --workers, the Job's completions"
    )]
    Completions {
        /// What Kubernetes said.
        index: u32,
    },
    /// A worker beyond the last.
    #[error(
        "JOB_COMPLETION_INDEX is {index}, which is not below --workers {workers}: give the Job's completions"
    )]
    Beyond {
        /// What Kubernetes said.
        index: u32,
        /// What the command line said.
        workers: NonZeroU32,
    },
    /// A number of workers, and nobody says which this is.
    #[error(
        "--workers is for Kubernetes' indexed Jobs, which set JOB_COMPLETION_INDEX: elsewhere give --shard i/n"
    )]
    NoIndex,
    /// An array whose ids do not number its tasks.
    #[error(
        "the SLURM array's ids are {ids}, and those of its tasks have to be 0 to {last}: submit it with --array=0-{last}, or \
         give --shard i/n"
    )]
    Array {
        /// Its ids, as far as SLURM says them.
        ids: String,
        /// The id of the last task of as many.
        last: u32,
    },
}

/// Flags that say which worker this is, and what schedulers say of it.
///
/// Kubernetes tells a pod of an indexed Job its index alone ("Jobs", completion mode); SLURM tells a task of an array
/// its id, and the number, the smallest and the largest of all ids ("Job Array Support", environment variables).
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct ShareArguments {
    /// Do only share i of n (from 0/n to n-1/n), for several machines and one output [default: what Kubernetes or SLURM
    /// says, or all].
    #[cfg_attr(feature = "clap", arg(long, value_name = "I/N"))]
    pub shard: Option<Share>,
    /// Workers of which `JOB_COMPLETION_INDEX` says the number of this one: the completions of an indexed Job.
    #[cfg_attr(feature = "clap", arg(long, env = "DETCON_WORKERS", value_name = "N"))]
    pub workers: Option<NonZeroU32>,
    /// Which pod of an indexed Job this is.
    #[cfg_attr(feature = "clap", arg(long, env = "JOB_COMPLETION_INDEX", hide = true))]
    pub job_completion_index: Option<u32>,
    /// Which task of an array this is.
    #[cfg_attr(feature = "clap", arg(long, env = "SLURM_ARRAY_TASK_ID", hide = true))]
    pub slurm_array_task_id: Option<u32>,
    /// Tasks of the array.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "SLURM_ARRAY_TASK_COUNT", hide = true)
    )]
    pub slurm_array_task_count: Option<NonZeroU32>,
    /// Smallest id of the array.
    #[cfg_attr(feature = "clap", arg(long, env = "SLURM_ARRAY_TASK_MIN", hide = true))]
    pub slurm_array_task_min: Option<u32>,
    /// Largest id of the array.
    #[cfg_attr(feature = "clap", arg(long, env = "SLURM_ARRAY_TASK_MAX", hide = true))]
    pub slurm_array_task_max: Option<u32>,
}

impl ShareArguments {
    /// What the flag says; or else Kubernetes, or SLURM; or else all.
    pub fn share(&self) -> Result<Share, ShareError> {
        match (self.shard, self.job_completion_index, self.workers) {
            (Some(share), _, _) => Ok(share),
            (None, Some(index), None) => Err(ShareError::Completions { index }),
            (None, Some(index), Some(workers)) => {
                let share = Share::new(index, workers.get());
                share.ok_or(ShareError::Beyond { index, workers })
            }
            (None, None, Some(_)) => Err(ShareError::NoIndex),
            (None, None, None) => self.task(),
        }
    }

    /// The task of an array; all where there is none.
    fn task(&self) -> Result<Share, ShareError> {
        let Some(id) = self.slurm_array_task_id else {
            return Ok(Share::WHOLE);
        };
        let count = self.slurm_array_task_count.map_or(1, NonZeroU32::get);
        let (min, max) = (self.slurm_array_task_min, self.slurm_array_task_max);
        let last = count - 1;
        let numbered = min == Some(0) && max == Some(last) && self.slurm_array_task_count.is_some();
        match Share::new(id, count) {
            Some(share) if numbered => Ok(share),
            Some(_) | None => {
                let said = |number: Option<u32>| number.map_or("?".to_owned(), |it| it.to_string());
                let ids = format!("{} to {}, {count} of them", said(min), said(max));
                Err(ShareError::Array { ids, last })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(id: u32, count: u32, min: u32, max: u32) -> Result<Share, ShareError> {
        let arguments = ShareArguments {
            slurm_array_task_id: Some(id),
            slurm_array_task_count: NonZeroU32::new(count),
            slurm_array_task_min: Some(min),
            slurm_array_task_max: Some(max),
            ..ShareArguments::default()
        };
        arguments.share()
    }

    fn job(index: u32, workers: Option<u32>) -> Result<Share, ShareError> {
        let arguments = ShareArguments {
            job_completion_index: Some(index),
            workers: workers.and_then(NonZeroU32::new),
            ..ShareArguments::default()
        };
        arguments.share()
    }

    #[test]
    fn every_shard_belongs_to_one_worker() {
        for count in 1..6 {
            for shard in 0..20 {
                let shares = (0..count).filter_map(|index| Share::new(index, count));
                assert_eq!(shares.filter(|share| share.holds(shard)).count(), 1);
            }
        }
    }

    #[test]
    fn a_share_is_written_with_its_count() {
        assert_eq!("2/4".parse(), Ok(Share { index: 2, count: 4 }));
        for wrong in ["4/4", "1", "a/b", "-1/2", "0/0", ""] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_array_whose_ids_are_not_0_to_the_last_is_refused() {
        assert_eq!(array(3, 8, 0, 7), Ok(Share { index: 3, count: 8 }));
        for (id, count, min, max) in [(1, 8, 1, 8), (6, 4, 0, 6), (9, 2, 3, 9)] {
            let refusal = array(id, count, min, max).unwrap_err().to_string();
            assert!(refusal.contains(&format!("--array=0-{}", count - 1)));
        }
    }

    #[test]
    fn an_indexed_job_has_to_say_of_how_many() {
        assert_eq!(job(1, Some(3)), Ok(Share { index: 1, count: 3 }));
        assert_eq!(job(1, None), Err(ShareError::Completions { index: 1 }));
        assert!(matches!(job(3, Some(3)), Err(ShareError::Beyond { .. })));
        let whole = ShareArguments::default().share();
        assert_eq!(whole, Ok(Share::WHOLE));
        let lost = ShareArguments {
            workers: NonZeroU32::new(3),
            ..ShareArguments::default()
        };
        assert_eq!(lost.share(), Err(ShareError::NoIndex));
    }

    #[test]
    fn the_flag_is_stronger_than_schedulers() {
        let arguments = ShareArguments {
            shard: Share::new(0, 2),
            job_completion_index: Some(7),
            slurm_array_task_id: Some(7),
            ..ShareArguments::default()
        };
        assert_eq!(arguments.share(), Ok(Share { index: 0, count: 2 }));
    }
}
