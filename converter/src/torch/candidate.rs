//! Networks in a file: a mapping of tensors holds one where, under some prefix and in some spelling, its names and shapes
//! are a `ResNet`'s.

use std::collections::{BTreeMap, BTreeSet};

use detcon_core::arch::{Depth, FirstShortcut, ParamKind, ResNetSpec, Version};
use detcon_core::names::Transform;

use super::TorchError;
use super::mapping::Mapping;
use super::spelling::{SPELLINGS, Spelling};

/// A place where the stem and a block of a network were found.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Which mapping of the file it is in.
    pub(super) mapping: usize,
    /// What its names start with there.
    pub(super) prefix: String,
    pub(super) spelling: &'static Spelling,
    /// Where it is in the file: the mapping's keys and the prefix, with dots.
    pub(super) place: String,
}

/// A tensor under a candidate's prefix.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// Its name in the mapping.
    pub(super) name: String,
    /// Its shape as torchvision has it.
    pub(super) shape: Vec<usize>,
}

/// A candidate's tensors by torchvision's names; those that are none of the network's by their own.
pub(super) type Table = BTreeMap<String, Tensor>;

/// Every candidate of a file, in the file's order.
pub(super) fn candidates(mappings: &[Mapping<'_>]) -> Vec<Candidate> {
    let anchors: Vec<_> = SPELLINGS
        .iter()
        .map(|spelling| (spelling, spelling.stem(), spelling.first_block()))
        .collect();
    let mut found = Vec::new();
    for (mapping, it) in mappings.iter().enumerate() {
        let names: BTreeSet<&str> = it.entries.iter().map(|entry| entry.name.as_str()).collect();
        for entry in &it.entries {
            for (spelling, stem, block) in &anchors {
                let Some(prefix) = entry.name.strip_suffix(stem.as_str()) else {
                    continue;
                };
                let whole = prefix.is_empty() || prefix.ends_with('.');
                if whole && names.contains(format!("{prefix}{block}").as_str()) {
                    found.push(Candidate {
                        mapping,
                        prefix: prefix.to_owned(),
                        spelling,
                        place: place(&it.place(), prefix),
                    });
                }
            }
        }
    }
    found
}

fn place(mapping: &str, prefix: &str) -> String {
    let prefix = prefix.trim_end_matches('.');
    let dot = if mapping.is_empty() || prefix.is_empty() {
        ""
    } else {
        "."
    };
    format!("{mapping}{dot}{prefix}")
}

impl Candidate {
    /// Its tensors.
    pub(super) fn table(&self, names: &BTreeMap<&str, &[usize]>) -> Table {
        let from = names.range(self.prefix.as_str()..);
        let inside = from.map_while(|(name, shape)| {
            let inner = name.strip_prefix(self.prefix.as_str())?;
            let (torchvision, transform) = self
                .spelling
                .torchvision(inner)
                .unwrap_or_else(|| (inner.to_owned(), Transform::Identity));
            let tensor = Tensor {
                name: (*name).to_owned(),
                shape: shape_of(transform, shape),
            };
            Some((torchvision, tensor))
        });
        inside.collect()
    }

    /// Whether every kernel of the network is there. Norms may lack their averages.
    pub(super) fn fits(spec: ResNetSpec, table: &Table) -> bool {
        spec.params().into_iter().all(|param| match param.kind {
            ParamKind::Conv(_) => table
                .get(&param.name)
                .is_some_and(|tensor| tensor.shape == param.shape),
            ParamKind::BatchNorm(_) => true,
        })
    }
}

/// A shape as torchvision has it.
fn shape_of(transform: Transform, shape: &[usize]) -> Vec<usize> {
    match (transform, shape) {
        (Transform::HwioToOihw, &[height, width, inputs, outputs]) => {
            vec![outputs, inputs, height, width]
        }
        _ => shape.to_vec(),
    }
}

/// Depth by the number of blocks and their kind, width by the stem, the bottlenecks' by the first of them, version by the
/// batch norm after the stem, and the first shortcut by whether there is one.
pub(super) fn architecture(table: &Table) -> Result<ResNetSpec, TorchError> {
    let bottleneck = table.contains_key("layer1.0.conv3.weight");
    let blocks = [1, 2, 3, 4].map(|group| blocks(table, group));
    let depth = Depth::ALL
        .into_iter()
        .find(|depth| depth.blocks() == blocks && depth.bottleneck() == bottleneck)
        .ok_or(TorchError::NoSuchDepth {
            blocks,
            kind: if bottleneck { "bottleneck" } else { "basic" },
        })?;
    let version = if table.contains_key("bn1.weight") {
        Version::V1
    } else {
        Version::V2
    };
    let (name, shape) = named(table, "conv1.weight");
    let width = match *shape {
        [outputs, 3, 7, 7] if outputs.is_multiple_of(64) => outputs / 64,
        _ => 0,
    };
    let spec = ResNetSpec::new(depth, width, version).map_err(|_| TorchError::Stem {
        name: name.to_owned(),
        shape: shape.to_vec(),
    })?;
    if bottleneck {
        let (name, shape) = named(table, "layer1.0.conv1.weight");
        let usual = 64 * width;
        let wider = shape.first().map_or(0, |inner| inner / usual);
        spec.with_bottleneck_width(wider)
            .map_err(|_| TorchError::Bottleneck {
                name: name.to_owned(),
                shape: shape.to_vec(),
                usual,
            })
    } else {
        let shortcut = if table.contains_key("layer1.0.downsample.0.weight") {
            FirstShortcut::Projection
        } else {
            FirstShortcut::Identity
        };
        // Where it cannot be the identity the fit names what is missing.
        Ok(spec.with_first_shortcut(shortcut).unwrap_or(spec))
    }
}

/// How many blocks a group has.
fn blocks(table: &Table, group: usize) -> usize {
    let start = format!("layer{group}.");
    let inside = table.range(start.clone()..);
    let indices: BTreeSet<usize> = inside
        .map_while(|(name, _)| name.strip_prefix(&start))
        .filter_map(|rest| rest.split('.').next()?.parse().ok())
        .collect();
    indices.len()
}

/// A tensor's name in the file, and its shape.
fn named<'t>(table: &'t Table, torchvision: &'t str) -> (&'t str, &'t [usize]) {
    table
        .get(torchvision)
        .map_or((torchvision, &[]), |it| (&it.name, &it.shape))
}
