//! Blocks and their convolutions: shapes, strides and dilations, in order of computation.

use super::{FirstShortcut, ResNetSpec, StrideIn, Window};

/// One convolution: its kernel is square, it has no bias, and its padding is the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between outputs, the same both ways.
    pub stride: usize,
    /// Step between the taps of the kernel, the same both ways.
    pub dilation: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

impl Conv {
    /// The window that slides over its input.
    #[must_use]
    pub const fn window(self) -> Window {
        Window {
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
        }
    }
}

/// One residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Group, from 0; group g ends in stage c(g+2).
    pub group: usize,
    /// Place in the group, from 0.
    pub index: usize,
    /// The convolutions on the residual path, in order.
    pub convs: Vec<Conv>,
    /// The 1×1 convolution on the shortcut, in the first block of each group; none where it is the identity.
    pub shortcut: Option<Conv>,
}

/// How far a network has shrunk its input, and what its convolutions skip since it stopped shrinking it.
struct Progress {
    shrunk: usize,
    dilation: usize,
}

/// What a group's first block does to its input, and the dilations in the group.
#[derive(Clone, Copy)]
struct Steps {
    stride: usize,
    /// Of the convolution that would have the stride.
    first: usize,
    /// Of the others.
    rest: usize,
}

impl Progress {
    /// The next group's steps. Where the network has shrunk its input enough, the group keeps the size; its convolutions
    /// skip twice as many cells as before, but for the one that would have had the stride, whose input is laid out as
    /// before.
    ///
    /// Source: `_make_layer` of torchvision's `models/resnet.py` (`previous_dilation`), `make_blocks` of timm's
    /// `models/resnet.py` (`first_dilation`).
    fn steps(&mut self, group: usize, output_stride: usize) -> Steps {
        let before = self.dilation;
        let mut stride = if group == 0 { 1 } else { 2 };
        if stride > 1 && self.shrunk >= output_stride {
            self.dilation *= stride;
            stride = 1;
        } else {
            self.shrunk *= stride;
        }
        Steps {
            stride,
            first: before,
            rest: self.dilation,
        }
    }
}

impl ResNetSpec {
    /// Every block, in order of computation.
    #[must_use]
    pub fn blocks(self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut inputs = self.stem().outputs;
        let mut progress = Progress {
            shrunk: 4,
            dilation: 1,
        };
        let counts = self.depth().blocks().into_iter();
        for (group, (count, outputs)) in counts.zip(self.stage_channels()).enumerate() {
            let steps = progress.steps(group, self.output_stride());
            for index in 0..count {
                let first = index == 0;
                let here = Steps {
                    stride: if first { steps.stride } else { 1 },
                    first: if first { steps.first } else { steps.rest },
                    rest: steps.rest,
                };
                let identity = group == 0 && self.first_shortcut() == FirstShortcut::Identity;
                let shortcut = (first && !identity).then_some(Conv {
                    kernel: 1,
                    stride: here.stride,
                    dilation: 1,
                    inputs,
                    outputs,
                });
                blocks.push(Block {
                    group,
                    index,
                    convs: self.residual(inputs, outputs, here),
                    shortcut,
                });
                inputs = outputs;
            }
        }
        blocks
    }

    /// The convolutions of a block. Basic blocks put the stride in the first.
    fn residual(self, inputs: usize, outputs: usize, steps: Steps) -> Vec<Conv> {
        let conv = |kernel, stride, dilation, inputs, outputs| Conv {
            kernel,
            stride,
            dilation,
            inputs,
            outputs,
        };
        if self.depth().bottleneck() {
            let inner = outputs / 4 * self.bottleneck_width();
            let (reducing, middle) = match self.stride_in() {
                StrideIn::Conv1x1 => (steps.stride, 1),
                StrideIn::Conv3x3 => (1, steps.stride),
            };
            vec![
                conv(1, reducing, 1, inputs, inner),
                conv(3, middle, steps.first, inner, inner),
                conv(1, 1, 1, inner, outputs),
            ]
        } else {
            vec![
                conv(3, steps.stride, steps.first, inputs, outputs),
                conv(3, 1, steps.rest, outputs, outputs),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stage;
    use super::*;

    fn spec(name: &str) -> ResNetSpec {
        name.parse().unwrap()
    }

    /// The 3×3 convolutions' strides and dilations of the first two blocks of each group.
    fn steps(name: &str) -> Vec<[(usize, usize); 2]> {
        let blocks = spec(name).blocks();
        let middle = |group, index| {
            let mut blocks = blocks.iter();
            let block = blocks.find(|it| (it.group, it.index) == (group, index));
            let conv = block.unwrap().convs[1];
            (conv.stride, conv.dilation)
        };
        (0..4)
            .map(|group| [middle(group, 0), middle(group, 1)])
            .collect()
    }

    #[test]
    fn a_stride_becomes_a_dilation_from_the_second_block_on() {
        assert_eq!(
            steps("resnet50"),
            [
                [(1, 1), (1, 1)],
                [(2, 1), (1, 1)],
                [(2, 1), (1, 1)],
                [(2, 1), (1, 1)]
            ]
        );
        assert_eq!(
            steps("resnet50+os16"),
            [
                [(1, 1), (1, 1)],
                [(2, 1), (1, 1)],
                [(2, 1), (1, 1)],
                [(1, 1), (1, 2)]
            ]
        );
        assert_eq!(
            steps("resnet50+os8"),
            [
                [(1, 1), (1, 1)],
                [(2, 1), (1, 1)],
                [(1, 1), (1, 2)],
                [(1, 2), (1, 4)]
            ]
        );
        let strides = |name| Stage::ALL.map(|stage| spec(name).stride(stage));
        assert_eq!(strides("resnet50+os8"), [4, 8, 8, 8]);
        assert_eq!(strides("resnet18"), [4, 8, 16, 32]);
    }

    #[test]
    fn caffes_bottlenecks_stride_in_their_first_convolution() {
        let block = &spec("resnet50+stride1x1").blocks()[3];
        assert_eq!(
            block.convs.iter().map(|it| it.stride).collect::<Vec<_>>(),
            [2, 1, 1]
        );
        assert_eq!(block.shortcut.unwrap().stride, 2);
    }

    #[test]
    fn wide_bottlenecks_are_wide_inside_alone() {
        let block = &spec("wide_resnet50_2").blocks()[0];
        let channels: Vec<_> = block
            .convs
            .iter()
            .map(|it| (it.inputs, it.outputs))
            .collect();
        assert_eq!(channels, [(64, 128), (128, 128), (128, 256)]);
        assert_eq!(spec("wide_resnet50_2").embedding_size(), 2048);
    }

    #[test]
    fn an_identity_is_in_the_first_group_alone() {
        let shortcuts: Vec<_> = spec("resnet18+identity")
            .blocks()
            .iter()
            .map(|it| it.shortcut.is_some())
            .collect();
        assert_eq!(
            shortcuts,
            [false, false, true, false, true, false, true, false]
        );
    }
}
