//! Which of a file's networks is taken: the one that was named, the only one, or the one that the field takes.

use std::collections::BTreeMap;

use detcon_core::arch::ResNetSpec;

use super::candidate::{Candidate, Table, architecture, candidates};
use super::look_alike::{look_alike, look_alike_anywhere};
use super::mapping::Mapping;
use super::usual::USUAL;
use super::{Backbone, TorchError};

/// Names that an error lists.
const SHOWN: usize = 6;
/// Most candidates that are held to the table of parameters. A file of ten thousand is asked which.
const JUDGED: usize = 64;

/// A candidate with its tensors, and the network that they are.
struct Judged {
    candidate: Candidate,
    table: Table,
    architecture: Result<ResNetSpec, TorchError>,
}

impl Judged {
    fn fits(&self) -> bool {
        let spec = self.architecture.as_ref();
        spec.is_ok_and(|&spec| Candidate::fits(spec, &self.table))
    }
}

/// What is to be known of every network in a file.
pub(super) fn all(mappings: &[Mapping<'_>]) -> Vec<(String, &'static str, Option<ResNetSpec>)> {
    let found = judged(mappings, candidates(mappings).into_iter().take(JUDGED));
    let rows = found.into_iter().map(|it| {
        let spec = it.fits().then(|| it.architecture.clone().ok()).flatten();
        (it.candidate.place, it.candidate.spelling.name, spec)
    });
    rows.collect()
}

/// The network to take. `given` is where it is: its place in the file, the end of that, or what it begins with.
pub(super) fn choose(
    mappings: &[Mapping<'_>],
    given: Option<&str>,
) -> Result<Backbone, TorchError> {
    let found = candidates(mappings);
    let (asked, usual) = match given {
        Some(given) => (vec![named(given, &found)?], None),
        None => only_fitting(mappings, found)?,
    };
    let mut judged = judged(mappings, asked.into_iter());
    let Some(taken) = judged.pop() else {
        return Err(none(mappings));
    };
    let Judged {
        candidate,
        table,
        architecture,
    } = taken;
    if let Some((tensor, kind)) = look_alike(&table) {
        return Err(TorchError::LookAlike { tensor, kind });
    }
    Ok(Backbone {
        architecture: architecture?,
        table,
        mapping: candidate.mapping,
        prefix: candidate.prefix,
        spelling: candidate.spelling,
        place: candidate.place,
        usual,
    })
}

fn judged(mappings: &[Mapping<'_>], found: impl Iterator<Item = Candidate>) -> Vec<Judged> {
    let mut names: BTreeMap<usize, BTreeMap<&str, &[usize]>> = BTreeMap::new();
    let judged = found.filter_map(|candidate| {
        let mapping = mappings.get(candidate.mapping)?;
        let names = names
            .entry(candidate.mapping)
            .or_insert_with(|| mapping.by_name());
        let table = candidate.table(names);
        Some(Judged {
            architecture: architecture(&table),
            table,
            candidate,
        })
    });
    judged.collect()
}

/// The one candidate that is a network, or the one that the field takes of several, with a word on that.
fn only_fitting(
    mappings: &[Mapping<'_>],
    found: Vec<Candidate>,
) -> Result<(Vec<Candidate>, Option<String>), TorchError> {
    if found.len() <= 1 {
        return Ok((found, None));
    }
    if found.len() > JUDGED {
        return Err(several(found.iter()));
    }
    let (fitting, others): (Vec<_>, Vec<_>) = judged(mappings, found.into_iter())
        .into_iter()
        .partition(Judged::fits);
    let fitting: Vec<_> = fitting.into_iter().map(|it| it.candidate).collect();
    if fitting.is_empty() {
        // None is whole: the first says what is wrong with it.
        let first = others.into_iter().next().map(|it| it.candidate);
        return Ok((first.into_iter().collect(), None));
    }
    let mut left = fitting.clone();
    let mut who = None;
    for row in &USUAL {
        if left.iter().any(|it| row.takes(&it.place)) && left.iter().any(|it| row.leaves(&it.place))
        {
            left.retain(|it| !row.leaves(&it.place));
            who = Some(row.who);
        }
    }
    match (left.as_slice(), who) {
        ([only], Some(who)) => {
            let other = fitting.iter().find(|it| it.place != only.place);
            let other = other.map_or("", |it| it.place.as_str());
            let usual = format!(
                "several networks are in here: taken was {}, as {who} does; --strip-prefix {other} takes the other",
                only.place
            );
            Ok((left, Some(usual)))
        }
        ([_], None) => Ok((left, None)),
        _ => Err(several(left.iter())),
    }
}

fn several<'c>(found: impl ExactSizeIterator<Item = &'c Candidate>) -> TorchError {
    TorchError::SeveralNetworks {
        count: found.len(),
        prefixes: shown(found),
    }
}

fn shown<'c>(found: impl Iterator<Item = &'c Candidate>) -> Vec<String> {
    let places = found.map(|it| format!("{:?}", it.place));
    places.take(SHOWN).collect()
}

/// The candidate at the place that was given, whose last dot may be left out: the whole place counts first, then its end
/// from some key on, then its beginning.
fn named(given: &str, found: &[Candidate]) -> Result<Candidate, TorchError> {
    let given_place = given.trim_end_matches('.');
    let whole = |it: &Candidate| it.place == given_place;
    let inner = |it: &Candidate| it.prefix.trim_end_matches('.') == given_place;
    let below = |it: &Candidate| {
        let rest = it.place.strip_prefix(given_place);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let tests: [&dyn Fn(&Candidate) -> bool; 3] = [&whole, &inner, &below];
    for test in tests {
        let matching: Vec<_> = found.iter().filter(|it| test(it)).collect();
        match matching.as_slice() {
            [] => {}
            [only] => return Ok((*only).clone()),
            several => {
                return Err(TorchError::SeveralNetworks {
                    count: several.len(),
                    prefixes: shown(several.iter().copied()),
                });
            }
        }
    }
    Err(TorchError::NoSuchPrefix {
        prefix: given.to_owned(),
        known: shown(found.iter()),
    })
}

/// Why there is none.
fn none(mappings: &[Mapping<'_>]) -> TorchError {
    for mapping in mappings {
        let tensors = mapping.entries.iter().map(|entry| {
            let tensor = super::candidate::Tensor {
                name: entry.name.clone(),
                shape: entry.array.shape().to_vec(),
            };
            (entry.name.clone(), tensor)
        });
        if let Some((tensor, kind)) = look_alike_anywhere(&tensors.collect()) {
            return TorchError::LookAlike { tensor, kind };
        }
    }
    let names = mappings.iter().flat_map(|it| &it.entries);
    TorchError::NoNetwork {
        found: names.take(SHOWN).map(|it| it.key.clone()).collect(),
    }
}
