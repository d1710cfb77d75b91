//! Torchvision's names: which prefix they are under, which network they are of, and where each goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use detcon_core::arch::{Depth, FirstShortcut, ResNetSpec, Version};
use detcon_core::names::{Destination, Transform, canonical_head};

use super::look_alike::look_alike;
use super::{Backbone, Outside, TorchError};
use crate::pickle::Array;

/// The stem's kernel, and a name that every network has besides.
const STEM: &str = "conv1.weight";
const FIRST_BLOCK: &str = "layer1.0.conv1.weight";
/// The modules beside the backbone that DetCon trains.
const HEADS: [&str; 3] = ["projector.", "predictor.", "classifier."];
/// Names that an error lists.
const SHOWN: usize = 5;

pub(super) fn backbone(
    entries: &[(String, Array<'_>)],
    given: Option<&str>,
) -> Result<Backbone, TorchError> {
    let shapes: BTreeMap<&str, &[usize]> = entries
        .iter()
        .map(|(name, array)| (name.as_str(), array.shape()))
        .collect();
    let known: Vec<&str> = shapes
        .keys()
        .filter_map(|name| name.strip_suffix(STEM))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .filter(|prefix| shapes.contains_key(format!("{prefix}{FIRST_BLOCK}").as_str()))
        .collect();
    if let Some((tensor, kind)) = look_alike(entries) {
        return Err(TorchError::LookAlike { tensor, kind });
    }
    let (prefix, outside) = match given {
        Some(given) => (chosen(given, &known)?, Outside::SetAside),
        None => (only(&known, &shapes)?, Outside::Surplus),
    };
    Ok(Backbone {
        architecture: architecture(&prefix, &shapes)?,
        prefix,
        outside,
    })
}

/// The prefix as given, whose dot may be left out.
fn chosen(given: &str, known: &[&str]) -> Result<String, TorchError> {
    let is = |prefix: &&&str| **prefix == given || prefix.strip_suffix('.') == Some(given);
    let found = known.iter().find(is).map(|&prefix| prefix.to_owned());
    found.ok_or_else(|| TorchError::NoSuchPrefix {
        prefix: given.to_owned(),
        known: known.iter().map(|prefix| format!("{prefix:?}")).collect(),
    })
}

/// The one prefix under which there is a network and that every name starts with.
fn only(known: &[&str], shapes: &BTreeMap<&str, &[usize]>) -> Result<String, TorchError> {
    let names = || shapes.keys().copied();
    let prefix = match known {
        [] => {
            return Err(TorchError::NoNetwork {
                found: names().take(SHOWN).map(str::to_owned).collect(),
            });
        }
        [only] => *only,
        several => {
            return Err(TorchError::SeveralNetworks {
                prefixes: several.iter().map(|prefix| format!("{prefix:?}")).collect(),
            });
        }
    };
    let outside: Vec<_> = names().filter(|name| !name.starts_with(prefix)).collect();
    if outside.is_empty() {
        Ok(prefix.to_owned())
    } else {
        Err(TorchError::Outside {
            prefix: prefix.to_owned(),
            count: outside.len(),
            names: outside.into_iter().take(SHOWN).map(str::to_owned).collect(),
        })
    }
}

/// Depth by the number of blocks and their kind, width by the stem, the bottlenecks' by the first of them, version by the
/// batch norm after the stem, and the first shortcut by whether there is one.
fn architecture(prefix: &str, shapes: &BTreeMap<&str, &[usize]>) -> Result<ResNetSpec, TorchError> {
    let has = |name: &str| shapes.contains_key(format!("{prefix}{name}").as_str());
    let blocks = [1, 2, 3, 4].map(|group| {
        let indices: BTreeSet<usize> = shapes
            .keys()
            .filter_map(|name| {
                name.strip_prefix(prefix)?
                    .strip_prefix(&format!("layer{group}."))
            })
            .filter_map(|rest| rest.split('.').next()?.parse().ok())
            .collect();
        indices.len()
    });
    let bottleneck = has("layer1.0.conv3.weight");
    let depth = Depth::ALL
        .into_iter()
        .find(|depth| depth.blocks() == blocks && depth.bottleneck() == bottleneck)
        .ok_or(TorchError::NoSuchDepth {
            blocks,
            kind: if bottleneck { "bottleneck" } else { "basic" },
        })?;
    let version = if has("bn1.weight") {
        Version::V1
    } else {
        Version::V2
    };
    let name = format!("{prefix}{STEM}");
    let shape = shapes.get(name.as_str()).copied().unwrap_or_default();
    let width = match *shape {
        [outputs, 3, 7, 7] if outputs.is_multiple_of(64) => outputs / 64,
        _ => 0,
    };
    let spec = ResNetSpec::new(depth, width, version).map_err(|_| TorchError::Stem {
        name,
        shape: shape.to_vec(),
    })?;
    if bottleneck {
        let name = format!("{prefix}{FIRST_BLOCK}");
        let shape = shapes.get(name.as_str()).copied().unwrap_or_default();
        let usual = 64 * width;
        let wider = shape.first().map_or(0, |inner| inner / usual);
        spec.with_bottleneck_width(wider)
            .map_err(|_| TorchError::Bottleneck {
                name,
                shape: shape.to_vec(),
                usual,
            })
    } else {
        let shortcut = if has("layer1.0.downsample.0.weight") {
            FirstShortcut::Projection
        } else {
            FirstShortcut::Identity
        };
        // Where it cannot be the identity the fit names what is missing.
        Ok(spec.with_first_shortcut(shortcut).unwrap_or(spec))
    }
}

/// Finds the destination of each name, its prefix taken off.
pub(super) struct Names {
    backbone: HashSet<String>,
}

impl Names {
    pub(super) fn new(spec: ResNetSpec) -> Self {
        Self {
            backbone: spec.params().into_iter().map(|param| param.name).collect(),
        }
    }

    pub(super) fn destination(&self, name: &str) -> Destination {
        let transform = Transform::Identity;
        let owned = name.to_owned();
        if self.backbone.contains(name) {
            Destination::Backbone {
                name: owned,
                transform,
            }
        } else if name.ends_with(".num_batches_tracked") {
            Destination::SetAside {
                reason: "a count of training batches: inference does not read it".to_owned(),
            }
        } else if name.starts_with("fc.") {
            Destination::SetAside {
                reason: "a head on top of the backbone, which ends at the pooled features"
                    .to_owned(),
            }
        } else if HEADS.iter().any(|head| name.starts_with(head)) {
            Destination::Head {
                name: canonical_head(name),
                transform,
            }
        } else {
            Destination::Nowhere
        }
    }
}
