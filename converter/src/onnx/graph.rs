//! The network as a graph: from uint8 pixels to `c5` and `embedding`.

use detcon_core::arch::{
    BATCH_NORM_EPSILON, BatchNormField, Block, Conv, INPUT_MEAN, INPUT_STD, Version,
};
use detcon_core::checkpoint::Checkpoint;

use super::fold::Fold;
use super::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, ValueInfoProto, data_type, length, op,
};

/// The values of a weight, made whenever they are asked for.
type Values<'a> = &'a dyn Fn() -> Vec<f32>;

/// A float32 weight of the graph.
pub(super) struct Weight<'a> {
    pub(super) name: &'a str,
    pub(super) shape: &'a [usize],
    pub(super) values: Values<'a>,
}

/// Builds the graph of a checkpoint. Values are called as the modules that make them. The weights go to `take` one
/// by one: the graph that is given back has none.
pub(super) fn build(checkpoint: &Checkpoint, take: &mut dyn FnMut(Weight<'_>)) -> GraphProto {
    let mut graph = Builder {
        checkpoint,
        nodes: Vec::new(),
        take,
    };
    let pixels = graph.normalise("images");
    let features = match checkpoint.spec().version() {
        Version::V1 => graph.network_v1(&pixels),
        Version::V2 => graph.network_v2(&pixels),
    };
    graph.node(op::IDENTITY, &[&features], "c5", Vec::new());
    let pooled = graph.node(op::GLOBAL_AVERAGE_POOL, &[&features], "pooled", Vec::new());
    graph.node(
        op::FLATTEN,
        &[&pooled],
        "embedding",
        vec![AttributeProto::int("axis", 1)],
    );
    graph.finish()
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    nodes: Vec<NodeProto>,
    take: &'a mut dyn FnMut(Weight<'_>),
}

impl Builder<'_> {
    /// Adds a node whose one output is called `output`, and gives that name back.
    fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.nodes
            .push(NodeProto::new(op_type, inputs, output, attribute));
        output.to_owned()
    }

    fn initializer(&mut self, name: &str, shape: &[usize], values: Values<'_>) -> String {
        (self.take)(Weight {
            name,
            shape,
            values,
        });
        name.to_owned()
    }

    /// A parameter of the checkpoint as it is.
    fn parameter(&mut self, name: &str) -> String {
        let tensor = self.checkpoint.get(name);
        self.initializer(name, tensor.shape(), &|| tensor.values().to_vec())
    }

    /// A value for each colour.
    fn channels(&mut self, name: &str, values: [f64; 3]) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the graph computes in float32"
        )]
        let values = values.map(|value| value as f32);
        self.initializer(name, &[3, 1, 1], &|| values.to_vec())
    }

    /// uint8 NHWC to normalised float32 NCHW. The mean goes first, so SAME padding's zeros stand for the mean colour.
    fn normalise(&mut self, images: &str) -> String {
        let mean = INPUT_MEAN.map(|mean| mean * 255.0);
        let mean = self.channels("input.mean", mean);
        let factor = INPUT_STD.map(|std| 1.0 / (std * 255.0));
        let factor = self.channels("input.factor", factor);
        let to = AttributeProto::int("to", i64::from(data_type::FLOAT));
        let floats = self.node(op::CAST, &[images], "input.float", vec![to]);
        let order = AttributeProto::ints("perm", &[0, 3, 1, 2]);
        let planes = self.node(op::TRANSPOSE, &[&floats], "input.planes", vec![order]);
        let centred = self.node(op::SUB, &[&planes, &mean], "input.centred", Vec::new());
        self.node(
            op::MUL,
            &[&centred, &factor],
            "input.normalised",
            Vec::new(),
        )
    }

    fn network_v1(&mut self, pixels: &str) -> String {
        let stem = self.conv_batch_norm(pixels, "conv1", "bn1", self.checkpoint.spec().stem());
        let stem = self.relu(&stem, "relu1");
        let mut x = self.max_pool(&stem);
        for block in self.checkpoint.spec().blocks() {
            x = self.block_v1(&x, &block);
        }
        x
    }

    fn block_v1(&mut self, input: &str, block: &Block) -> String {
        let name = block.name();
        let mut x = input.to_owned();
        for (i, &conv) in (1..).zip(&block.convs) {
            x = self.conv_batch_norm(
                &x,
                &format!("{name}.conv{i}"),
                &format!("{name}.bn{i}"),
                conv,
            );
            if i < block.convs.len() {
                x = self.relu(&x, &format!("{name}.relu{i}"));
            }
        }
        let shortcut = match block.shortcut {
            Some(conv) => {
                let (kernel, batch_norm) = (
                    format!("{name}.downsample.0"),
                    format!("{name}.downsample.1"),
                );
                self.conv_batch_norm(input, &kernel, &batch_norm, conv)
            }
            None => input.to_owned(),
        };
        let sum = self.node(
            op::ADD,
            &[&x, &shortcut],
            &format!("{name}.sum"),
            Vec::new(),
        );
        self.relu(&sum, &name)
    }

    fn network_v2(&mut self, pixels: &str) -> String {
        let stem = self.plain_conv(pixels, "conv1", self.checkpoint.spec().stem());
        let mut x = self.max_pool(&stem);
        for block in self.checkpoint.spec().blocks() {
            x = self.block_v2(&x, &block);
        }
        let normalised = self.batch_norm(&x, "norm");
        self.relu(&normalised, "relu")
    }

    /// The batch norm before the first convolution stands alone; the others fold into the convolution before them.
    fn block_v2(&mut self, input: &str, block: &Block) -> String {
        let name = block.name();
        let normalised = self.batch_norm(input, &format!("{name}.bn1"));
        let mut x = self.relu(&normalised, &format!("{name}.relu1"));
        let shortcut = match block.shortcut {
            Some(conv) => self.plain_conv(&x, &format!("{name}.downsample.0"), conv),
            None => input.to_owned(),
        };
        let last = block.convs.len();
        for (i, &conv) in (1..).zip(&block.convs) {
            let kernel = format!("{name}.conv{i}");
            if i == last {
                x = self.plain_conv(&x, &kernel, conv);
            } else {
                let folded =
                    self.conv_batch_norm(&x, &kernel, &format!("{name}.bn{}", i + 1), conv);
                x = self.relu(&folded, &format!("{name}.relu{}", i + 1));
            }
        }
        self.node(op::ADD, &[&x, &shortcut], &name, Vec::new())
    }

    fn conv_batch_norm(&mut self, x: &str, name: &str, batch_norm: &str, conv: Conv) -> String {
        let fold = Fold::new(self.checkpoint, name, batch_norm);
        let shape = fold.kernel.shape();
        let kernel = self.initializer(&format!("{name}.weight"), shape, &|| fold.kernel());
        let bias = self.initializer(&format!("{name}.bias"), &shape[..1], &|| fold.bias());
        self.node(
            op::CONV,
            &[x, &kernel, &bias],
            name,
            window(conv.kernel, conv.stride),
        )
    }

    fn plain_conv(&mut self, x: &str, name: &str, conv: Conv) -> String {
        let kernel = self.parameter(&format!("{name}.weight"));
        self.node(
            op::CONV,
            &[x, &kernel],
            name,
            window(conv.kernel, conv.stride),
        )
    }

    fn batch_norm(&mut self, x: &str, name: &str) -> String {
        let vectors = BatchNormField::ALL.map(|field| format!("{name}.{}", field.torch_name()));
        for vector in &vectors {
            self.parameter(vector);
        }
        let [scale, offset, mean, variance] = &vectors;
        #[expect(clippy::cast_possible_truncation, reason = "the attribute is float32")]
        let epsilon = AttributeProto::float("epsilon", BATCH_NORM_EPSILON as f32);
        self.node(
            op::BATCH_NORM,
            &[x, scale, offset, mean, variance],
            name,
            vec![epsilon],
        )
    }

    fn relu(&mut self, x: &str, name: &str) -> String {
        self.node(op::RELU, &[x], name, Vec::new())
    }

    fn max_pool(&mut self, x: &str) -> String {
        self.node(op::MAX_POOL, &[x], "maxpool", window(3, 2))
    }

    fn finish(self) -> GraphProto {
        let axis = |name: &str| Dimension::Param(name.to_owned());
        let channels = Dimension::Value(length(self.checkpoint.spec().embedding_size()));
        let images = [axis("N"), axis("H"), axis("W"), Dimension::Value(3)];
        let c5 = [axis("N"), channels.clone(), axis("h"), axis("w")];
        GraphProto {
            node: self.nodes,
            name: self.checkpoint.spec().to_string(),
            initializer: Vec::new(),
            input: vec![ValueInfoProto::tensor("images", data_type::UINT8, &images)],
            output: vec![
                ValueInfoProto::tensor("embedding", data_type::FLOAT, &[axis("N"), channels]),
                ValueInfoProto::tensor("c5", data_type::FLOAT, &c5),
            ],
        }
    }
}

/// Attributes of a square window with TensorFlow's SAME padding: at stride 2 the odd row goes to the end.
///
/// At stride 1 SAME is symmetric whatever the size, and is written out: engines fuse explicit padding best.
fn window(kernel: usize, stride: usize) -> Vec<AttributeProto> {
    let (kernel, stride) = (length(kernel), length(stride));
    let padding = match stride {
        1 => AttributeProto::ints("pads", &[kernel / 2; 4]),
        _ => AttributeProto::string("auto_pad", "SAME_UPPER"),
    };
    vec![
        AttributeProto::ints("kernel_shape", &[kernel; 2]),
        AttributeProto::ints("strides", &[stride; 2]),
        padding,
    ]
}
