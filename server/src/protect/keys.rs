//! API keys: a file of scopes and keys, of which only digests are kept and compared.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Shortest key: what is shorter can be guessed.
const MIN_LENGTH: usize = 16;
/// Longest key that is looked at.
const MAX_LENGTH: usize = 1024;
/// Marks a key that is given as its SHA-256.
const DIGEST: &str = "sha256:";

/// What a key lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Ask the models, and what is served.
    Inference,
    /// Read the metrics.
    Metrics,
    /// Everything, such as changing what is served.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Inference, Self::Metrics, Self::Admin];

    /// Its name in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    /// Whether a key of this scope will do where `needed` is.
    pub(crate) fn allows(self, needed: Self) -> bool {
        self == Self::Admin || self == needed
    }
}

/// Why the file of keys cannot be used. It never holds what is in the file but scopes.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("--api-keys {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no key.
    #[error("--api-keys {}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no key in it.
    #[error("--api-keys {}: there is no key in it, so nobody could ask anything", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The keys that are accepted.
#[derive(Clone)]
pub(crate) struct ApiKeys(Vec<([u8; 32], Scope)>);

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} keys)", self.0.len())
    }
}

impl ApiKeys {
    /// Reads a file of lines `SCOPE:KEY` or `SCOPE:sha256:HEX`; empty lines and lines that start with `#` are skipped.
    pub(crate) fn read(path: &Path) -> Result<Self, KeysError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeysError::Read {
            path: path.to_owned(),
            source,
        })?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let key = |(index, line)| {
            parse(line).map_err(|reason| KeysError::Line {
                path: path.to_owned(),
                line: index + 1,
                reason,
            })
        };
        let keys: Vec<_> = lines.map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeysError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self(keys))
    }

    /// The scope of a key, if it is one of these. Takes the same time whichever it is, and whether it is.
    pub(crate) fn scope(&self, key: &[u8]) -> Option<Scope> {
        if key.len() > MAX_LENGTH {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut found = 0_u8;
        for (known, scope) in &self.0 {
            let same: Choice = known.ct_eq(&digest);
            found.conditional_assign(&(*scope as u8 + 1), same);
        }
        Scope::ALL
            .into_iter()
            .find(|scope| *scope as u8 + 1 == found)
    }
}

fn parse(line: &str) -> Result<([u8; 32], Scope), &'static str> {
    let expected = "it is not SCOPE:KEY with a scope of inference, metrics or admin";
    let (name, key) = line.split_once(':').ok_or(expected)?;
    let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
    let scope = scope.ok_or(expected)?;
    if let Some(hex) = key.strip_prefix(DIGEST) {
        let digest = digest(hex).ok_or("what follows sha256: is not 64 hexadecimal digits")?;
        return Ok((digest, scope));
    }
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&key.len()) {
        return Err("a key has 16 to 1024 characters");
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is of visible ASCII characters");
    }
    Ok((Sha256::digest(key).into(), scope))
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        let digits = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| digits)?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ApiKeys, KeysError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ApiKeys::read(file.path())
    }

    #[test]
    fn keys_and_their_digests_have_the_scope_of_their_line() {
        let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
        let text = format!(
            "# who asks\n\ninference:abcdefghijklmnop\n  admin:sha256:{digest}  \r\nmetrics:0123456789:abcdef\n"
        );
        let keys = read(&text).unwrap();
        assert_eq!(keys.scope(b"abcdefghijklmnop"), Some(Scope::Inference));
        assert_eq!(keys.scope(b"test"), Some(Scope::Admin));
        assert_eq!(keys.scope(b"0123456789:abcdef"), Some(Scope::Metrics));
        for unknown in [&b""[..], b"abcdefghijklmno", b"Test", digest.as_bytes()] {
            assert_eq!(keys.scope(unknown), None);
        }
    }

    #[test]
    fn an_admin_may_do_everything_and_others_one_thing() {
        for scope in Scope::ALL {
            for needed in Scope::ALL {
                let expected = scope == needed || scope == Scope::Admin;
                assert_eq!(scope.allows(needed), expected, "{scope:?} {needed:?}");
            }
        }
    }

    #[test]
    fn a_line_that_is_no_key_is_named_by_number_and_not_quoted() {
        for line in [
            "abcdefghijklmnop",
            "root:abcdefghijklmnop",
            "admin:short",
            "admin:with a space in it",
            "admin:sha256:12",
            "admin:sha256:+f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ] {
            let error = read(&format!("\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{error}");
            let secret = line.rsplit(':').next().unwrap();
            assert!(!error.contains(secret), "{error}");
        }
        assert!(matches!(read("# none\n"), Err(KeysError::Empty { .. })));
    }

    #[test]
    fn keys_do_not_print() {
        let keys = read("inference:abcdefghijklmnop").unwrap();
        assert_eq!(format!("{keys:?}"), "ApiKeys(1 keys)");
    }
}
