//! The ledger against the weights: every parameter once, every source tensor once, every digest right.

use std::collections::{BTreeMap, BTreeSet};

use detcon_core::checkpoint::{
    Checkpoint, Filled, Ledger, Tensors, sha256_f32, tensors_from_bytes,
};
use detcon_core::model::{ModelDirectory, file};
use detcon_core::names::Transform;

use super::{VerifyError, read};

/// How a ledger fails to account for the weights.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A trained model without one, or an untrained model with one.
    #[error("the manifest says pretrained: {pretrained}, and {} ledger.json", if *listed { "lists a" } else { "lists no" })]
    Presence {
        /// What the manifest says.
        pretrained: bool,
        /// Whether it lists a ledger.
        listed: bool,
    },
    /// It is no ledger.
    #[error("ledger.json is not a ledger: {source}")]
    Format {
        /// What the reader said.
        source: serde_json::Error,
    },
    /// It is of another conversion.
    #[error("ledger.json contradicts the manifest: {detail}")]
    Contradiction {
        /// What differs.
        detail: String,
    },
    /// It does not name every tensor exactly once.
    #[error("ledger.json does not account for {}", names.join(", "))]
    Incomplete {
        /// Tensors that are missing, surplus or named twice.
        names: Vec<String>,
    },
    /// Tensors that are not what it says.
    #[error(
        "{} differ from their digests in ledger.json: convert the checkpoint again",
        names.join(", ")
    )]
    Digests {
        /// Their names.
        names: Vec<String>,
    },
}

/// How many source tensors the ledger accounts for; nothing where the model is untrained.
pub(super) fn check(
    directory: &ModelDirectory,
    checkpoint: &Checkpoint,
) -> Result<Option<usize>, VerifyError> {
    let manifest = directory.manifest();
    let listed = manifest.files.get(file::LEDGER);
    if manifest.pretrained != listed.is_some() {
        return Err(LedgerError::Presence {
            pretrained: manifest.pretrained,
            listed: listed.is_some(),
        }
        .into());
    }
    if listed.map(|entry| &entry.sha256) != manifest.ledger_sha256.as_ref() {
        let detail = "its ledger_sha256 is another".to_owned();
        return Err(LedgerError::Contradiction { detail }.into());
    }
    if listed.is_none() {
        return Ok(None);
    }
    let bytes = read(&directory.path().join(file::LEDGER))?;
    let ledger: Ledger =
        serde_json::from_slice(&bytes).map_err(|source| LedgerError::Format { source })?;
    if ledger.spec != checkpoint.spec() {
        let detail = format!("it is of a {}", ledger.spec);
        return Err(LedgerError::Contradiction { detail }.into());
    }
    let heads = heads(directory)?;
    account(&ledger.backbone, checkpoint.tensors())?;
    account(&ledger.heads, &heads)?;
    Ok(Some(sources(&ledger)?))
}

fn heads(directory: &ModelDirectory) -> Result<Tensors, VerifyError> {
    if !directory.manifest().files.contains_key(file::HEADS) {
        return Ok(Tensors::new());
    }
    let bytes = read(&directory.path().join(file::HEADS))?;
    tensors_from_bytes(&bytes).map_err(|source| VerifyError::Tensors {
        name: file::HEADS,
        source,
    })
}

fn account(filled: &[Filled], tensors: &Tensors) -> Result<(), LedgerError> {
    let mut rows: BTreeMap<&str, Vec<&Filled>> = BTreeMap::new();
    for row in filled {
        rows.entry(&row.parameter).or_default().push(row);
    }
    let names: BTreeSet<&str> = rows
        .keys()
        .copied()
        .chain(tensors.keys().map(String::as_str))
        .collect();
    let once = |name: &&str| {
        tensors.contains_key(*name) && rows.get(name).is_some_and(|rows| rows.len() == 1)
    };
    let wrong: Vec<_> = names
        .into_iter()
        .filter(|name| !once(name))
        .map(str::to_owned)
        .collect();
    if !wrong.is_empty() {
        return Err(LedgerError::Incomplete { names: wrong });
    }
    let differs = |row: &&Filled| sha256_f32(tensors[&row.parameter].values()) != row.sha256;
    let wrong: Vec<_> = filled
        .iter()
        .filter(differs)
        .map(|row| row.parameter.clone())
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(LedgerError::Digests { names: wrong })
    }
}

/// Counts the source tensors, none of which may be used twice.
fn sources(ledger: &Ledger) -> Result<usize, LedgerError> {
    let from_source = |row: &&Filled| row.transform != Transform::Fresh;
    let filled = ledger
        .backbone
        .iter()
        .chain(&ledger.heads)
        .filter(from_source);
    let all = filled
        .map(|row| &row.source)
        .chain(ledger.set_aside.iter().map(|row| &row.source));
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = all.filter(|key| !seen.insert(*key)).cloned().collect();
    if twice.is_empty() {
        Ok(seen.len())
    } else {
        Err(LedgerError::Incomplete { names: twice })
    }
}
