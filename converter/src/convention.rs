//! What decides the parts of a network that its tensors cannot tell: padding, strides, epsilon, normalisation.
//!
//! First what the user says, then what the file says of itself, then what networks of its kind have: haiku's the
//! published code's, PyTorch's torchvision's. What was only assumed is told, with the flag that changes it.

use std::fmt;

use detcon_core::arch::{Normalization, Padding, ResNetSpec, SpecError, StrideIn};

use crate::timm::Configured;

/// What the user says of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stated {
    /// Which architecture it is.
    pub arch: Option<Architecture>,
    /// Where padding goes.
    pub padding: Option<Padding>,
    /// How its input is normalised.
    pub normalization: Option<Normalization>,
    /// Which convolution of a bottleneck has the block's stride.
    pub stride_in: Option<StrideIn>,
    /// Pixels of input that a cell of c5 stands for.
    pub output_stride: Option<usize>,
    /// Added to the variance in every batch norm.
    pub epsilon: Option<f64>,
}

/// A network by its bare name, as far as a file's tensors tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture(ResNetSpec);

impl std::str::FromStr for Architecture {
    type Err = ArchitectureError;

    fn from_str(text: &str) -> Result<Self, ArchitectureError> {
        if let Some(reason) = crate::timm::not_held(text) {
            return Err(ArchitectureError::Other {
                name: text.to_owned(),
                reason,
            });
        }
        let spec: ResNetSpec = text.parse()?;
        if spec == spec.architecture() {
            Ok(Self(spec))
        } else {
            Err(ArchitectureError::Parts {
                name: text.to_owned(),
            })
        }
    }
}

/// Why a name is no architecture that is held here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// Another family's network.
    #[error("{name} is no ResNet that can be held: {reason}")]
    Other {
        /// As given.
        name: String,
        /// What it has that ResNets have not.
        reason: &'static str,
    },
    /// No network at all.
    #[error(transparent)]
    Name(#[from] SpecError),
    /// A name with parts that have flags of their own.
    #[error(
        "{name} says more than the architecture: --padding, --normalization, --stride-in, --output-stride and --epsilon \
         say the rest"
    )]
    Parts {
        /// As given.
        name: String,
    },
}

/// What the source says, or is known by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Convention {
    /// The file or its directory says the whole spec.
    Declared(ResNetSpec),
    /// Haiku's modules, and how the published code normalised what they were trained on.
    Published(Normalization),
    /// PyTorch's names, and what a configuration beside the file says.
    Torch(Configured),
}

/// Why what is said of a network does not fit it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConventionError {
    /// The tensors are another network's.
    #[error(
        "the tensors are a {found}'s, and {by} says {said}: leave it out, or give the right file"
    )]
    Architecture {
        /// The network that the tensors are.
        found: Box<ResNetSpec>,
        /// Who says otherwise.
        by: &'static str,
        /// What it says.
        said: Box<ResNetSpec>,
    },
    /// The network cannot be so.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// A network, and what of it was only assumed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settled {
    pub(crate) spec: ResNetSpec,
    pub(crate) assumed: Option<Assumed>,
}

/// What was taken without being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumed {
    spec: ResNetSpec,
    padding: bool,
    normalization: bool,
    stride_in: bool,
}

impl fmt::Display for Assumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spec,
            padding,
            normalization,
            stride_in,
        } = *self;
        let rows = [
            (
                padding,
                format!("{} padding", spec.padding()),
                "--padding same, as for a converted DetCon",
            ),
            (
                normalization,
                format!("{} normalization", spec.normalization()),
                "--normalization none or caffe",
            ),
            (
                stride_in,
                format!("strides in the {}", spec.stride_in()),
                "--stride-in 1x1",
            ),
        ];
        let taken = rows.iter().filter(|row| row.0);
        let taken: Vec<&str> = taken.map(|row| row.1.as_str()).collect();
        let flags: Vec<&str> = rows.iter().filter(|row| row.0).map(|row| row.2).collect();
        write!(
            f,
            "the file does not say it: taken were {}, as PyTorch's networks have; otherwise {}",
            taken.join(", "),
            flags.join("; ")
        )
    }
}

/// The network of this architecture, by what is said of it.
pub(crate) fn settle(
    architecture: ResNetSpec,
    convention: &Convention,
    stated: &Stated,
) -> Result<Settled, ConventionError> {
    // A first shortcut is in no bare name.
    let bare = |spec: ResNetSpec| {
        spec.published()
            .with_bottleneck_width(spec.bottleneck_width())
    };
    if let Some(Architecture(said)) = stated.arch
        && bare(said)? != bare(architecture)?
    {
        return Err(ConventionError::Architecture {
            found: Box::new(architecture),
            by: "--arch",
            said: Box::new(said),
        });
    }
    let told = match *convention {
        Convention::Declared(said) if said.architecture() != architecture => {
            return Err(ConventionError::Architecture {
                found: Box::new(architecture),
                by: "the file",
                said: Box::new(said),
            });
        }
        Convention::Declared(said) => said,
        Convention::Published(normalization) => architecture.with_normalization(normalization),
        Convention::Torch(Configured {
            normalization,
            output_stride,
            stride_in,
        }) => architecture
            .with_padding(Padding::Symmetric)
            .with_normalization(normalization.unwrap_or(Normalization::IMAGENET))
            .with_output_stride(output_stride.unwrap_or(architecture.output_stride()))?
            .with_stride_in(inside(architecture, stride_in))?,
    };
    let spec = told
        .with_padding(stated.padding.unwrap_or(told.padding()))
        .with_normalization(stated.normalization.unwrap_or(told.normalization()))
        .with_stride_in(stated.stride_in.unwrap_or(told.stride_in()))?
        .with_output_stride(stated.output_stride.unwrap_or(told.output_stride()))?
        .with_epsilon(stated.epsilon.unwrap_or(told.epsilon()))?;
    Ok(Settled {
        spec,
        assumed: assumed(spec, convention, stated),
    })
}

/// Where the stride is, as a configuration says it; blocks without a 1×1 have it in the 3×3 whatever that says.
fn inside(architecture: ResNetSpec, said: Option<StrideIn>) -> StrideIn {
    let said = said.filter(|_| architecture.depth().bottleneck());
    said.unwrap_or(architecture.stride_in())
}

fn assumed(spec: ResNetSpec, convention: &Convention, stated: &Stated) -> Option<Assumed> {
    let Convention::Torch(configured) = convention else {
        return None;
    };
    let assumed = Assumed {
        spec,
        padding: stated.padding.is_none(),
        normalization: stated.normalization.or(configured.normalization).is_none(),
        stride_in: stated.stride_in.or(configured.stride_in).is_none() && spec.depth().bottleneck(),
    };
    (assumed.padding || assumed.normalization || assumed.stride_in).then_some(assumed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> ResNetSpec {
        name.parse().unwrap()
    }

    fn settled(name: &str, convention: &Convention, stated: &Stated) -> String {
        let settled = settle(spec(name), convention, stated).unwrap();
        settled.spec.to_string()
    }

    #[test]
    fn each_kind_of_source_has_its_own_padding_and_flags_override_it() {
        let torch = Convention::Torch(Configured::default());
        let published = Convention::Published(Normalization::NONE);
        let declared = Convention::Declared(spec("resnet50+symmetric+os16"));
        let none = Stated::default();
        assert_eq!(settled("resnet50", &torch, &none), "resnet50+symmetric");
        assert_eq!(settled("resnet50", &published, &none), "resnet50+none");
        assert_eq!(
            settled("resnet50", &declared, &none),
            "resnet50+symmetric+os16"
        );
        let stated = Stated {
            padding: Some(Padding::Same),
            normalization: Some(Normalization::CAFFE),
            stride_in: Some(StrideIn::Conv1x1),
            output_stride: Some(32),
            ..none
        };
        for convention in [torch, published, declared] {
            assert_eq!(
                settled("resnet50", &convention, &stated),
                "resnet50+stride1x1+caffe"
            );
        }
    }

    #[test]
    fn what_was_only_assumed_is_told_with_its_flag() {
        let torch = Convention::Torch(Configured::default());
        let told = |stated: &Stated| {
            let settled = settle(spec("resnet18+identity"), &torch, stated).unwrap();
            settled.assumed.map(|assumed| assumed.to_string())
        };
        let line = told(&Stated::default()).unwrap();
        assert!(
            line.contains("symmetric padding") && line.contains("--padding same"),
            "{line}"
        );
        assert!(
            line.contains("--normalization") && !line.contains("--stride-in"),
            "{line}"
        );
        let all = Stated {
            padding: Some(Padding::Symmetric),
            normalization: Some(Normalization::IMAGENET),
            ..Stated::default()
        };
        assert_eq!(told(&all), None);
    }

    #[test]
    fn contradictions_are_refused() {
        let torch = Convention::Torch(Configured::default());
        let stated = |arch: &str| Stated {
            arch: Some(arch.parse().unwrap()),
            ..Stated::default()
        };
        assert!(settle(spec("resnet18+identity"), &torch, &stated("resnet18")).is_ok());
        for (found, arch) in [("resnet50", "resnet101"), ("resnet50", "wide_resnet50_2")] {
            assert!(
                settle(spec(found), &torch, &stated(arch)).is_err(),
                "{found} {arch}"
            );
        }
        let declared = Convention::Declared(spec("resnet101"));
        assert!(settle(spec("resnet50"), &declared, &Stated::default()).is_err());
        let inside = Stated {
            stride_in: Some(StrideIn::Conv1x1),
            ..Stated::default()
        };
        assert!(settle(spec("resnet18"), &torch, &inside).is_err());
        for name in [
            "resnetaa50",
            "resnet50d",
            "resnext50_32x4d",
            "resnet50+symmetric",
            "vit",
        ] {
            assert!(name.parse::<Architecture>().is_err(), "{name}");
        }
    }
}
