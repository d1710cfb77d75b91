//! Where each tensor of a mapping goes, by its name under the network's prefix.

use std::collections::HashSet;

use detcon_core::names::{Destination, Transform, canonical_head};

use super::Backbone;
use super::spelling::Spelling;

/// The modules beside the backbone that DetCon trains.
const HEADS: [&str; 3] = ["projector.", "predictor.", "classifier."];
/// Modules that a `ResNet` would compute with, with a number or without: a name under one that the network does not have
/// is another network's.
const NUMBERED: [&str; 6] = ["conv", "bn", "layer", "stage", "block", "res"];
const OTHERS: [&str; 2] = ["stem", "downsample"];

/// Finds the destination of each name of a mapping.
pub(super) struct Names<'b> {
    backbone: HashSet<String>,
    prefix: &'b str,
    spelling: &'static Spelling,
}

impl<'b> Names<'b> {
    pub(super) fn new(backbone: &'b Backbone) -> Self {
        let params = backbone.architecture.params().into_iter();
        Self {
            backbone: params.map(|param| param.name).collect(),
            prefix: &backbone.prefix,
            spelling: backbone.spelling,
        }
    }

    /// Whether a parameter of the network has this name.
    pub(super) fn is_parameter(&self, name: &str) -> bool {
        matches!(self.destination(name), Destination::Backbone { .. })
    }

    pub(super) fn destination(&self, name: &str) -> Destination {
        let Some(inner) = name.strip_prefix(self.prefix) else {
            return aside(format!("its name does not start with {:?}", self.prefix));
        };
        let own = self.spelling.torchvision(inner);
        if name.ends_with(".num_batches_tracked") {
            return aside("a count of training batches: inference does not read it");
        }
        match own {
            Some((name, transform)) if self.backbone.contains(&name) => {
                Destination::Backbone { name, transform }
            }
            Some(_) => Destination::Nowhere,
            None if inner.starts_with("fc.") => {
                aside("a head on top of the backbone, which ends at the pooled features")
            }
            None if HEADS.iter().any(|head| inner.starts_with(head)) => Destination::Head {
                name: canonical_head(inner),
                transform: Transform::Identity,
            },
            None if computes(inner) => Destination::Nowhere,
            None => aside("beside the network's own modules: a head, or a buffer"),
        }
    }
}

fn aside(reason: impl Into<String>) -> Destination {
    Destination::SetAside {
        reason: reason.into(),
    }
}

/// Whether the first module of a name is one that a `ResNet` computes with.
fn computes(name: &str) -> bool {
    let Some((module, _)) = name.split_once('.') else {
        return false;
    };
    let kind = module.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
    OTHERS.contains(&module) || (kind.len() < module.len() && NUMBERED.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_buffers_are_no_modules_that_a_network_computes_with() {
        for name in [
            "projection_head.0.weight",
            "prototypes.weight",
            "head.weight",
            "mean",
            "std",
            "normalize.mean",
            "queue_ptr",
            "bn.running_mean",
        ] {
            assert!(!computes(name), "{name}");
        }
        for name in [
            "layer5.0.conv1.weight",
            "conv2.weight",
            "bn3.bias",
            "stem.0.weight",
        ] {
            assert!(computes(name), "{name}");
        }
    }
}
