//! The one table of parameters: what each is called in torchvision and in haiku, and its shape in both.

use super::{Block, Conv, ResNetSpec, Version};

/// Where a parameter lives in a haiku tree: the module below the network's own, and the entry's name.
///
/// Modules are written without haiku's `~` and with batch norms called `batchnorm…`, as the published code
/// names them; `names::canonical_module` brings other spellings to this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HaikuName {
    /// For example `block_group_0/block_0/conv_1`.
    pub module: String,
    /// `w`, `scale`, `offset` or `average`.
    pub name: &'static str,
}

/// The four vectors of a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchNormField {
    /// Learned factor.
    Scale,
    /// Learned summand.
    Offset,
    /// Moving average of the mean, zero-debiased.
    Mean,
    /// Moving average of the variance, zero-debiased.
    Variance,
}

impl BatchNormField {
    /// In torchvision's order.
    pub const ALL: [Self; 4] = [Self::Scale, Self::Offset, Self::Mean, Self::Variance];

    /// The name torch gives it, as in `bn1.running_mean`.
    #[must_use]
    pub const fn torch_name(self) -> &'static str {
        match self {
            Self::Scale => "weight",
            Self::Offset => "bias",
            Self::Mean => "running_mean",
            Self::Variance => "running_var",
        }
    }

    /// The submodule and the name haiku gives it: inference reads the moving averages' `average`.
    #[must_use]
    pub const fn haiku(self) -> (&'static str, &'static str) {
        match self {
            Self::Scale => ("", "scale"),
            Self::Offset => ("", "offset"),
            Self::Mean => ("/mean_ema", "average"),
            Self::Variance => ("/var_ema", "average"),
        }
    }
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Kernel of a convolution.
    Conv(Conv),
    /// A vector of a batch norm.
    BatchNorm(BatchNormField),
}

/// One parameter of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name as torchvision spells it: `conv1.weight`, `layer1.0.bn2.running_mean`.
    pub name: String,
    /// Where it lives in a haiku tree.
    pub haiku: HaikuName,
    /// What it is.
    pub kind: ParamKind,
    /// Shape in torchvision's layout: kernels `[outputs, inputs, height, width]`, vectors `[channels]`.
    pub shape: Vec<usize>,
}

impl Param {
    /// Shape in haiku's layout: kernels `[height, width, inputs, outputs]`, vectors `[1, 1, 1, channels]`.
    #[must_use]
    pub fn haiku_shape(&self) -> Vec<usize> {
        match self.kind {
            ParamKind::Conv(conv) => vec![conv.kernel, conv.kernel, conv.inputs, conv.outputs],
            ParamKind::BatchNorm(_) => vec![1, 1, 1, self.shape[0]],
        }
    }
}

impl Block {
    /// Name of the block as torchvision spells it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("layer{}.{}", self.group + 1, self.index)
    }
}

/// Collects the table, one module after the other.
struct Table(Vec<Param>);

impl Table {
    fn conv(&mut self, name: &str, module: &str, conv: Conv) {
        self.0.push(Param {
            name: format!("{name}.weight"),
            haiku: HaikuName {
                module: module.to_owned(),
                name: "w",
            },
            kind: ParamKind::Conv(conv),
            shape: vec![conv.outputs, conv.inputs, conv.kernel, conv.kernel],
        });
    }

    fn batch_norm(&mut self, name: &str, module: &str, channels: usize) {
        for field in BatchNormField::ALL {
            let (submodule, haiku_name) = field.haiku();
            self.0.push(Param {
                name: format!("{name}.{}", field.torch_name()),
                haiku: HaikuName {
                    module: format!("{module}{submodule}"),
                    name: haiku_name,
                },
                kind: ParamKind::BatchNorm(field),
                shape: vec![channels],
            });
        }
    }

    fn block(&mut self, block: &Block, version: Version) {
        let name = block.name();
        let module = format!("block_group_{}/block_{}", block.group, block.index);
        for (i, &conv) in block.convs.iter().enumerate() {
            let normalised = match version {
                Version::V1 => conv.outputs,
                Version::V2 => conv.inputs,
            };
            self.conv(
                &format!("{name}.conv{}", i + 1),
                &format!("{module}/conv_{i}"),
                conv,
            );
            self.batch_norm(
                &format!("{name}.bn{}", i + 1),
                &format!("{module}/batchnorm_{i}"),
                normalised,
            );
        }
        if let Some(conv) = block.shortcut {
            self.conv(
                &format!("{name}.downsample.0"),
                &format!("{module}/shortcut_conv"),
                conv,
            );
            if version == Version::V1 {
                let batch_norm = format!("{module}/shortcut_batchnorm");
                self.batch_norm(&format!("{name}.downsample.1"), &batch_norm, conv.outputs);
            }
        }
    }
}

impl ResNetSpec {
    /// Every parameter of the backbone, in order of computation. This is *the* list of them.
    ///
    /// Names are torchvision's. Where torchvision has none the nearest is taken: 18 and 34 layers have a
    /// `layer1.0.downsample` (haiku projects the first shortcut of every group), and the last batch norm of a
    /// pre-activation network is called `norm`, as in timm.
    #[must_use]
    pub fn params(self) -> Vec<Param> {
        let mut table = Table(Vec::new());
        table.conv("conv1", "initial_conv", self.stem());
        if self.version() == Version::V1 {
            table.batch_norm("bn1", "initial_batchnorm", self.stem().outputs);
        }
        for block in self.blocks() {
            table.block(&block, self.version());
        }
        if self.version() == Version::V2 {
            table.batch_norm("norm", "final_batchnorm", self.embedding_size());
        }
        table.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::Depth;
    use super::*;

    #[test]
    fn no_two_parameters_share_a_name() {
        for depth in Depth::ALL {
            for version in [Version::V1, Version::V2] {
                let params = ResNetSpec::new(depth, 1, version).unwrap().params();
                let names: HashSet<_> = params.iter().map(|param| &param.name).collect();
                let modules: HashSet<_> = params.iter().map(|param| &param.haiku).collect();
                assert_eq!((names.len(), modules.len()), (params.len(), params.len()));
            }
        }
    }

    /// 25.6 million less the 2.05 million of the classifier, as torchvision's documentation counts them.
    #[test]
    fn a_resnet50_has_as_many_parameters_as_torchvisions() {
        let learned = |param: &Param| {
            !matches!(
                param.kind,
                ParamKind::BatchNorm(BatchNormField::Mean | BatchNormField::Variance)
            )
        };
        let spec = ResNetSpec::new(Depth::ResNet50, 1, Version::V1).unwrap();
        let count: usize = spec
            .params()
            .iter()
            .filter(|p| learned(p))
            .map(|p| p.shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, 25_557_032 - 2_049_000);
    }
}
