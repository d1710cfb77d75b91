//! Which of a data set's shards a run writes, where several machines share it.

use std::str::FromStr;

use serde::Serialize;

/// One of several machines that share a data set: it writes the shards whose index is `index` modulo `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    index: u32,
    count: u32,
}

impl Part {
    /// The whole data set.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    pub(super) const fn holds(self, shard: u32) -> bool {
        shard % self.count == self.index
    }

    /// A file's name that tells parts apart.
    pub(super) fn file(self, stem: &str, ending: &str) -> String {
        if self == Self::WHOLE {
            format!("{stem}.{ending}")
        } else {
            format!("{stem}-{}-of-{}.{ending}", self.index, self.count)
        }
    }
}

impl FromStr for Part {
    type Err = &'static str;

    /// Reads `i/n`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (index, count) = text.split_once('/').unwrap_or((text, ""));
        match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) if index < count => Ok(Self { index, count }),
            _ => Err("write i/n with i from 0 to n-1, such as 0/4"),
        }
    }
}
