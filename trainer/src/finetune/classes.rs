//! The names of classes. It refuses none, too many, empty ones and ones that are there twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::FinetuneError;

/// Most classes: ids are int16 in training.
const MOST: usize = 1 << 15;

/// What classes are called, by id from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Vec<String>);

impl Classes {
    /// Names, all different.
    pub fn new(names: Vec<String>) -> Result<Self, FinetuneError> {
        let mut seen = BTreeSet::new();
        if let Some(id) = names.iter().position(String::is_empty) {
            return Err(refused(format!("class {id} has no name")));
        }
        if let Some(twice) = names.iter().find(|&name| !seen.insert(name)) {
            return Err(refused(format!("{twice:?} is there twice")));
        }
        if (2..=MOST).contains(&names.len()) {
            Ok(Self(names))
        } else {
            let found = names.len();
            Err(refused(format!("{found} of them; give 2 to {MOST}")))
        }
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Classes {
    type Err = FinetuneError;

    /// A file with a name a line, in the order of the ids, or else the names themselves with commas between them.
    fn from_str(text: &str) -> Result<Self, FinetuneError> {
        let path = Path::new(text);
        if path.is_file() {
            let lines = fs::read_to_string(path);
            let lines = lines.map_err(|source| FinetuneError::Io {
                path: path.to_owned(),
                source,
            })?;
            let names = lines.trim_end().lines().map(|line| line.trim().to_owned());
            return Self::new(names.collect());
        }
        if text.contains(',') {
            Self::new(text.split(',').map(|name| name.trim().to_owned()).collect())
        } else {
            Err(refused(format!(
                "{text:?} is no file, and no list with commas: give a file with a name a line, or A,B,C"
            )))
        }
    }
}

fn refused(what: String) -> FinetuneError {
    FinetuneError::Classes(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_a_file_or_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("classes.txt");
        fs::write(&file, "sky\ntall grass\r\nroad\n\n").unwrap();
        let read: Classes = file.to_str().unwrap().parse().unwrap();
        assert_eq!(read.names(), ["sky", "tall grass", "road"]);
        assert_eq!("sky,tall grass, road".parse::<Classes>().unwrap(), read);
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        let refusal = |text: &str| text.parse::<Classes>().unwrap_err().to_string();
        for (text, reason) in [
            ("nowhere.txt", "is no file"),
            ("a,,b", "class 1 has no name"),
            ("a,b,a", "\"a\" is there twice"),
            ("", "is no file"),
        ] {
            assert!(refusal(text).contains(reason), "{}", refusal(text));
        }
        assert!(Classes::new(vec!["a".to_owned()]).is_err());
    }
}
