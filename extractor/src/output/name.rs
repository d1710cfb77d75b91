//! What the files of a part are called.

use std::fmt;
use std::str::FromStr;

/// A part's number, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartName {
    /// From 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl PartName {
    /// Of the images that could not be used.
    #[must_use]
    pub fn errors(self) -> String {
        let Self { index, count } = self;
        format!("errors-{index:05}-of-{count:05}.jsonl")
    }

    /// Of its vectors, where they are in an array.
    #[must_use]
    pub fn array(self) -> String {
        format!("embeddings_{:05}.npy", self.index)
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, count } = self;
        write!(f, "part-{index:05}-of-{count:05}.parquet")
    }
}

/// A name that is no part's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPart;

impl FromStr for PartName {
    type Err = NotAPart;

    fn from_str(name: &str) -> Result<Self, NotAPart> {
        let numbers = name.strip_prefix("part-").ok_or(NotAPart)?;
        let numbers = numbers.strip_suffix(".parquet").ok_or(NotAPart)?;
        let (index, count) = numbers.split_once("-of-").ok_or(NotAPart)?;
        let number = |text: &str| text.parse().map_err(|_| NotAPart);
        let part = Self {
            index: number(index)?,
            count: number(count)?,
        };
        let canonical = part.index < part.count && part.to_string() == name;
        canonical.then_some(part).ok_or(NotAPart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let part = PartName {
            index: 7,
            count: 1024,
        };
        assert_eq!(part.to_string(), "part-00007-of-01024.parquet");
        assert_eq!(part.to_string().parse(), Ok(part));
        for other in [
            "part-7-of-1024.parquet",
            "part-00002-of-00002.parquet",
            ".part-00000-of-00002.parquet.partial",
            "part-00000-of-00002.npy",
        ] {
            assert_eq!(other.parse::<PartName>(), Err(NotAPart), "{other}");
        }
    }
}
