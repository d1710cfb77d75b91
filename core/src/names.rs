//! Haiku's names on one side, torchvision's on the other: which network a tree holds, and where each entry goes.
//!
//! An entry that belongs nowhere is an error that names it, never a skip.

use std::collections::{BTreeSet, HashMap};

use crate::arch::{Depth, HaikuName, Param, ParamKind, ResNetSpec, SpecError, Version};

/// The modules beside the backbone that upstream trains.
const HEADS: [&str; 3] = ["projector", "predictor", "classifier"];
/// Why a moving average's internal state is left out.
const AVERAGE_STATE: &str = "internal state of a moving average: inference reads its `average`";

/// What is done to a source tensor to make it the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Taken as it is.
    Identity,
    /// A kernel `[height, width, inputs, outputs]` becomes `[outputs, inputs, height, width]`.
    HwioToOihw,
    /// A matrix `[inputs, outputs]` becomes `[outputs, inputs]`.
    Transpose,
    /// Leading axes of length 1 are dropped.
    DropLeadingOnes,
    /// Not from the source: a moving average as before the first batch, mean 0 or variance 1.
    Fresh,
}

/// Where a source tensor goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It fills a parameter of the backbone, named as torchvision does.
    Backbone {
        /// The parameter.
        name: String,
        /// What makes it that parameter.
        transform: Transform,
    },
    /// It is part of a head: `projector.linear.weight`.
    Head {
        /// Name in `heads.safetensors`.
        name: String,
        /// What makes it that tensor.
        transform: Transform,
    },
    /// It has no place, which is an error.
    Nowhere,
    /// It is not used, for this reason.
    SetAside {
        /// Why.
        reason: String,
    },
}

/// Why a tree could not be read as a network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// No module is a backbone's.
    #[error(
        "no ResNet of 18, 34, 50, 101, 152 or 200 layers is in here: expected modules such as \
         res_net50/~/initial_conv, found {}",
        found.join(", ")
    )]
    NoNetwork {
        /// The first few modules.
        found: Vec<String>,
    },
    /// Modules of several backbones.
    #[error("several networks are in here: {}", found.join(", "))]
    SeveralNetworks {
        /// Their modules.
        found: Vec<String>,
    },
    /// The stem is missing, or is no stem's shape.
    #[error("{module}/w {}: a stem's shape is [7, 7, 3, 64 × width]", has(shape))]
    Stem {
        /// The stem's module.
        module: String,
        /// Its shape; empty where it is missing.
        shape: Vec<usize>,
    },
    /// The width multiplier is out of range.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An entry has no place in the network.
    #[error("{key} has no place in a {spec}: the file is of another network or is damaged")]
    Unknown {
        /// The entry.
        key: String,
        /// The network.
        spec: Box<ResNetSpec>,
    },
}

/// What is to be said of a stem of this shape.
fn has(shape: &[usize]) -> String {
    if shape.is_empty() {
        "is missing".to_owned()
    } else {
        format!("has shape {shape:?}")
    }
}

/// A module's path within its network, and which network that is.
struct BackboneModule {
    /// The network's own segment, as written.
    network: String,
    depth: Depth,
    /// The rest, as the parameter table spells it.
    module: String,
}

/// The network's depth, if `segment` is a network's module: its name, or its name numbered by haiku (`res_net50_1`).
fn network_depth(segment: &str) -> Option<Depth> {
    let is = |depth: &Depth| match segment.strip_prefix(depth.haiku_module()) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('_')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
        None => false,
    };
    Depth::ALL.into_iter().find(is)
}

/// Segments of a haiku path without the `~` that mark methods.
fn segments(module: &str) -> impl Iterator<Item = &str> {
    module
        .split('/')
        .filter(|segment| !segment.is_empty() && *segment != "~")
}

/// The published files call batch norms `norm_0`, `initial_norm` …; the published code `batchnorm_0` ….
fn canonical_segment(segment: &str) -> String {
    match segment.strip_prefix("norm_") {
        Some(number) => format!("batchnorm_{number}"),
        None => match segment.strip_suffix("_norm") {
            Some(place) => format!("{place}_batchnorm"),
            None => segment.to_owned(),
        },
    }
}

fn backbone_module(module: &str) -> Option<BackboneModule> {
    let mut rest = segments(module);
    let (network, depth) = rest.find_map(|segment| Some((segment, network_depth(segment)?)))?;
    let module: Vec<_> = rest.map(canonical_segment).collect();
    Some(BackboneModule {
        network: network.to_owned(),
        depth,
        module: module.join("/"),
    })
}

/// Which network a tree of `(module, name, shape)` holds.
///
/// The depth is in the network's module name, the width in the stem's shape, and only pre-activation networks
/// have a final batch norm.
pub fn infer_spec<'a>(
    entries: impl Iterator<Item = (&'a str, &'a str, &'a [usize])>,
) -> Result<ResNetSpec, NamesError> {
    let mut networks = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut stem: (String, Vec<usize>) = (String::from("initial_conv"), Vec::new());
    let (mut depth, mut version) = (None, Version::V1);
    for (module, name, shape) in entries {
        let Some(found) = backbone_module(module) else {
            seen.insert(module.to_owned());
            continue;
        };
        networks.insert(found.network);
        depth = Some(found.depth);
        match found.module.as_str() {
            "initial_conv" if name == "w" => stem = (module.to_owned(), shape.to_vec()),
            "final_batchnorm" => version = Version::V2,
            _ => {}
        }
    }
    let Some(depth) = depth else {
        return Err(NamesError::NoNetwork {
            found: shown(&seen),
        });
    };
    if networks.len() > 1 {
        return Err(NamesError::SeveralNetworks {
            found: networks.into_iter().collect(),
        });
    }
    let one = ResNetSpec::new(depth, 1, version)?.stem();
    match *stem.1.as_slice() {
        [height, width, inputs, outputs]
            if [height, width, inputs] == [one.kernel, one.kernel, one.inputs]
                && outputs % one.outputs == 0 =>
        {
            Ok(ResNetSpec::new(depth, outputs / one.outputs, version)?)
        }
        _ => Err(NamesError::Stem {
            module: stem.0,
            shape: stem.1,
        }),
    }
}

/// A few of a tree's modules, of those that are no head's where there are any.
fn shown(modules: &BTreeSet<String>) -> Vec<String> {
    let is_head = |module: &&String| segments(module).any(|segment| HEADS.contains(&segment));
    let (heads, others): (Vec<_>, Vec<_>) = modules.iter().partition(is_head);
    others.into_iter().chain(heads).take(5).cloned().collect()
}

/// Finds the destination of each entry of a haiku tree.
#[derive(Debug)]
pub struct HaikuNames {
    spec: ResNetSpec,
    backbone: HashMap<HaikuName, Param>,
}

impl HaikuNames {
    /// For trees of a network.
    #[must_use]
    pub fn new(spec: ResNetSpec) -> Self {
        let backbone = spec
            .params()
            .into_iter()
            .map(|param| (param.haiku.clone(), param))
            .collect();
        Self { spec, backbone }
    }

    /// Where the entry `name` of `module` goes.
    pub fn destination(&self, module: &str, name: &str) -> Result<Destination, NamesError> {
        let found = match backbone_module(module) {
            Some(found) => self.backbone_destination(&found.module, name),
            None => head_destination(module, name),
        };
        found.ok_or_else(|| NamesError::Unknown {
            key: format!("{module}/{name}"),
            spec: Box::new(self.spec),
        })
    }

    fn backbone_destination(&self, module: &str, name: &str) -> Option<Destination> {
        let at = |name| {
            self.backbone.get(&HaikuName {
                module: module.to_owned(),
                name,
            })
        };
        let param = match name {
            "hidden" | "counter" => at("average").map(|_| None)?,
            "w" => Some(at("w")?),
            "scale" => Some(at("scale")?),
            "offset" => Some(at("offset")?),
            "average" => Some(at("average")?),
            _ => return None,
        };
        Some(match param {
            None => Destination::SetAside {
                reason: AVERAGE_STATE.to_owned(),
            },
            Some(param) => Destination::Backbone {
                name: param.name.clone(),
                transform: transform(param.kind),
            },
        })
    }
}

const fn transform(kind: ParamKind) -> Transform {
    match kind {
        ParamKind::Conv(_) => Transform::HwioToOihw,
        ParamKind::BatchNorm(_) => Transform::DropLeadingOnes,
    }
}

/// The one name of a head's tensor: batch norms are called `batch_norm`, whatever the source (`norm` in the published
/// files, `batch_norm` in the published code) and whenever the directory was made.
#[must_use]
pub fn canonical_head(name: &str) -> String {
    let canonical = |segment: &str| match segment.strip_prefix("norm") {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("batch_norm{rest}"),
        _ => segment.to_owned(),
    };
    name.split('.').map(canonical).collect::<Vec<_>>().join(".")
}

/// `projector/batch_norm/~/mean_ema`, `average` → `projector.batch_norm.running_mean`.
fn head_destination(module: &str, name: &str) -> Option<Destination> {
    let mut path: Vec<_> = segments(module)
        .skip_while(|segment| !HEADS.contains(segment))
        .collect();
    let last = *path.last()?;
    let (name, transform) = match (last, name) {
        ("mean_ema" | "var_ema", "hidden" | "counter") => {
            return Some(Destination::SetAside {
                reason: AVERAGE_STATE.to_owned(),
            });
        }
        ("mean_ema", "average") => ("running_mean", Transform::DropLeadingOnes),
        ("var_ema", "average") => ("running_var", Transform::DropLeadingOnes),
        (_, "w") => ("weight", Transform::Transpose),
        (_, "b") => ("bias", Transform::Identity),
        (_, "scale") => ("weight", Transform::DropLeadingOnes),
        (_, "offset") => ("bias", Transform::DropLeadingOnes),
        _ => return None,
    };
    if matches!(last, "mean_ema" | "var_ema") {
        path.pop();
    }
    Some(Destination::Head {
        name: canonical_head(&format!("{}.{name}", path.join("."))),
        transform,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> ResNetSpec {
        name.parse().unwrap()
    }

    #[test]
    fn both_spellings_of_a_batch_norm_lead_to_the_same_parameter() {
        let names = HaikuNames::new(spec("resnet50"));
        let expected = Destination::Backbone {
            name: "layer3.5.bn2.running_var".to_owned(),
            transform: Transform::DropLeadingOnes,
        };
        for module in [
            "res_net50/~/block_group_2/~/block_5/~/norm_1/~/var_ema",
            "res_net50/~/block_group_2/~/block_5/~/batchnorm_1/~/var_ema",
            "byol/~/online/res_net50_1/~/block_group_2/~/block_5/~/batchnorm_1/~/var_ema",
        ] {
            assert_eq!(names.destination(module, "average"), Ok(expected.clone()));
        }
    }

    #[test]
    fn an_entry_with_no_place_is_an_error_that_names_it() {
        let names = HaikuNames::new(spec("resnet18"));
        for (module, name) in [
            ("res_net18/~/block_group_0/~/block_2/~/conv_0", "w"),
            ("res_net18/~/initial_conv", "b"),
            ("res_net18/~/initial_conv", "average"),
            ("decoder/linear", "w"),
        ] {
            let error = names.destination(module, name).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{module}/{name}")),
                "{error}"
            );
        }
    }

    #[test]
    fn heads_are_named_as_torch_would() {
        let names = HaikuNames::new(spec("resnet18"));
        let head = |module, name| match names.destination(module, name) {
            Ok(Destination::Head { name, transform }) => (name, transform),
            other => panic!("{module}/{name}: {other:?}"),
        };
        assert_eq!(
            head("projector/linear_1", "w"),
            ("projector.linear_1.weight".to_owned(), Transform::Transpose)
        );
        assert_eq!(
            head("classifier", "b"),
            ("classifier.bias".to_owned(), Transform::Identity)
        );
        for module in ["predictor/batch_norm/~/var_ema", "predictor/norm/~/var_ema"] {
            assert_eq!(
                head(module, "average"),
                (
                    "predictor.batch_norm.running_var".to_owned(),
                    Transform::DropLeadingOnes
                )
            );
        }
        assert_eq!(
            canonical_head("projector.norm_1.bias"),
            "projector.batch_norm_1.bias"
        );
        assert_eq!(
            canonical_head("projector.normal.bias"),
            "projector.normal.bias"
        );
    }

    #[test]
    fn width_and_version_are_read_from_the_tree() {
        let stem = [7, 7, 3, 128];
        let mut entries = vec![("res_net50/~/initial_conv", "w", &stem[..])];
        assert_eq!(infer_spec(entries.iter().copied()), Ok(spec("resnet50x2")));
        entries.push(("res_net50/~/final_batchnorm", "scale", &[1, 1, 1, 4096]));
        assert_eq!(
            infer_spec(entries.iter().copied()),
            Ok(spec("resnet50x2v2"))
        );
        entries.push(("res_net18/~/initial_conv", "w", &stem));
        assert!(matches!(
            infer_spec(entries.iter().copied()),
            Err(NamesError::SeveralNetworks { .. })
        ));
        assert!(matches!(
            infer_spec([("a", "b", &stem[..])].into_iter()),
            Err(NamesError::NoNetwork { .. })
        ));
        assert!(matches!(
            infer_spec([("res_net50", "b", &stem[..])].into_iter()),
            Err(NamesError::Stem { .. })
        ));
    }
}
