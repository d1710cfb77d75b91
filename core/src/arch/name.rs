//! Names of networks: `resnet50`, `resnet50x2`, `resnet50v2`, `wide_resnet50_2`, `resnet18+symmetric+identity`.
//!
//! A bare name is the network as the published code builds it; what differs from that follows, each with a `+`.

use std::fmt;
use std::str::FromStr;

use super::{
    Depth, FirstShortcut, Normalization, Padding, ResNetSpec, SpecError, StrideIn, Version,
};

/// What stands before the name of a network with wide bottlenecks; the width follows after `_`.
const WIDE: &str = "wide_";
/// What stands before a part that is no part of the bare name.
const PART: char = '+';
/// What stands before an output stride, and before an epsilon.
const OUTPUT_STRIDE: &str = "os";
const EPSILON: &str = "eps=";
/// The part for strides in the 1×1.
const STRIDE_IN_1X1: &str = "stride1x1";

impl fmt::Display for ResNetSpec {
    /// As users write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published =
            Self::new(self.depth(), self.width(), self.version()).map_err(|_| fmt::Error)?;
        match self.bottleneck_width() {
            1 => f.write_str(self.depth().name())?,
            wide => write!(f, "{WIDE}{}_{wide}", self.depth().name())?,
        }
        if self.width() != 1 {
            write!(f, "x{}", self.width())?;
        }
        if self.version() == Version::V2 {
            f.write_str("v2")?;
        }
        if self.padding() != published.padding() {
            write!(f, "{PART}{}", self.padding())?;
        }
        if self.first_shortcut() != published.first_shortcut() {
            write!(f, "{PART}{}", self.first_shortcut())?;
        }
        if self.stride_in() != published.stride_in() {
            write!(f, "{PART}{STRIDE_IN_1X1}")?;
        }
        if self.output_stride() != published.output_stride() {
            write!(f, "{PART}{OUTPUT_STRIDE}{}", self.output_stride())?;
        }
        if self.epsilon().to_bits() != published.epsilon().to_bits() {
            write!(f, "{PART}{EPSILON}{}", self.epsilon())?;
        }
        if self.normalization() != published.normalization() {
            write!(f, "{PART}{}", self.normalization())?;
        }
        Ok(())
    }
}

impl FromStr for ResNetSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = text.split(PART);
        let bare = bare(parts.next().unwrap_or_default()).map_err(|error| whole(error, text))?;
        let spec = parts.try_fold(bare, with)?;
        // A part that is there twice, or that says what goes without saying, is a slip.
        if spec.to_string().split(PART).count() == text.split(PART).count() {
            Ok(spec)
        } else {
            Err(unknown(text))
        }
    }
}

fn unknown(name: &str) -> SpecError {
    SpecError::Name {
        name: name.to_owned(),
    }
}

/// The error of the first part, with the whole name.
fn whole(error: SpecError, text: &str) -> SpecError {
    match error {
        SpecError::Name { .. } => unknown(text),
        other => other,
    }
}

/// A bare name's network.
fn bare(text: &str) -> Result<ResNetSpec, SpecError> {
    let number = |digits: &str| digits.parse::<usize>().map_err(|_| unknown(text));
    let (rest, version) = match text.strip_suffix("v2") {
        Some(rest) => (rest, Version::V2),
        None => (text, Version::V1),
    };
    let (rest, width) = match rest.split_once('x') {
        Some((rest, width)) => (rest, number(width)?),
        None => (rest, 1),
    };
    let (name, bottleneck_width) = match rest.strip_prefix(WIDE).map(|rest| rest.split_once('_')) {
        Some(Some((name, width))) => (name, number(width)?),
        Some(None) => return Err(unknown(text)),
        None => (rest, 1),
    };
    let mut depths = Depth::ALL.into_iter();
    let depth = depths
        .find(|depth| depth.name() == name)
        .ok_or_else(|| unknown(text))?;
    ResNetSpec::new(depth, width, version)?.with_bottleneck_width(bottleneck_width)
}

/// `spec` with what a part says.
fn with(spec: ResNetSpec, part: &str) -> Result<ResNetSpec, SpecError> {
    if let Some(stride) = part.strip_prefix(OUTPUT_STRIDE) {
        return spec.with_output_stride(stride.parse().map_err(|_| unknown(part))?);
    }
    if let Some(epsilon) = part.strip_prefix(EPSILON) {
        return spec.with_epsilon(epsilon.parse().map_err(|_| unknown(part))?);
    }
    if part == STRIDE_IN_1X1 {
        return spec.with_stride_in(StrideIn::Conv1x1);
    }
    if let Ok(padding) = part.parse::<Padding>() {
        return Ok(spec.with_padding(padding));
    }
    if let Ok(shortcut) = part.parse::<FirstShortcut>() {
        return spec.with_first_shortcut(shortcut);
    }
    match part.parse::<Normalization>() {
        Ok(normalization) => Ok(spec.with_normalization(normalization)),
        Err(error) if part.contains('=') => Err(error.into()),
        Err(_) => Err(unknown(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::MAX_WIDTH;
    use super::*;

    fn every_architecture() -> Vec<ResNetSpec> {
        let mut specs = Vec::new();
        for depth in Depth::ALL {
            for width in 1..=MAX_WIDTH {
                for version in [Version::V1, Version::V2] {
                    let spec = ResNetSpec::new(depth, width, version).unwrap();
                    specs.push(spec);
                    specs.extend(spec.with_bottleneck_width(2));
                    specs.extend(spec.with_first_shortcut(FirstShortcut::Identity));
                }
            }
        }
        specs
    }

    #[test]
    fn every_name_reads_back_as_the_network_that_wrote_it() {
        let given = "mean=0.5,0.4,0.3:divisor=1:channels=bgr".parse().unwrap();
        for spec in every_architecture() {
            let symmetric = spec.with_padding(Padding::Symmetric);
            let mut specs = vec![spec, symmetric, symmetric.with_normalization(given)];
            specs.push(
                spec.with_normalization(Normalization::NONE)
                    .with_epsilon(1e-3)
                    .unwrap(),
            );
            specs.extend(symmetric.with_output_stride(8));
            specs.extend(symmetric.with_stride_in(StrideIn::Conv1x1));
            for spec in specs {
                assert_eq!(spec.to_string().parse(), Ok(spec), "{spec}");
                let json = serde_json::to_string(&spec).unwrap();
                assert_eq!(serde_json::from_str::<ResNetSpec>(&json).unwrap(), spec);
            }
        }
    }

    #[test]
    fn names_of_no_network_are_refused() {
        for name in [
            "",
            "resnet",
            "resnet51",
            "resnet50x0",
            "resnet50x9",
            "resnet50x",
            "resnet50v3",
            "v2",
            "x2",
            "wide_resnet50",
            "wide_resnet50_9",
            "wide_resnet18_2",
            "resnet50+",
            "resnet50+odd",
            "resnet50+same",
            "resnet50+symmetric+symmetric",
            "resnet50+identity",
            "tiny+identity",
            "resnet18+stride1x1",
            "resnet50+os4",
            "resnet50+eps=0",
            "resnet50+eps=NaN",
            "resnet50+std=0,1,1",
        ] {
            assert!(name.parse::<ResNetSpec>().is_err(), "{name} was accepted");
        }
    }

    /// As the first version of manifests wrote it.
    #[test]
    fn what_an_older_manifest_leaves_out_is_what_every_network_was() {
        let json = r#"{"arch":"resnet18","width":2,"pre_activation":false}"#;
        let spec: ResNetSpec = serde_json::from_str(json).unwrap();
        assert_eq!(spec.to_string(), "resnet18x2");
        assert_eq!(spec.first_shortcut(), FirstShortcut::Projection);
    }
}
