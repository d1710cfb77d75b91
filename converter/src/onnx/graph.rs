//! The network as a graph: from uint8 pixels to `c5` and `embedding`.

use detcon_core::arch::{
    BATCH_NORM_EPSILON, BatchNormField, Block, Conv, INPUT_MEAN, INPUT_STD, Version,
};
use detcon_core::checkpoint::{Checkpoint, Tensor, little_endian};

use super::fold::{Folded, fold};
use super::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, ValueInfoProto, data_type,
};

/// Builds the graph of a checkpoint. Values are called as the modules that make them. The weights go to `take` one
/// by one, as they are made: the graph that is given back has none.
pub(super) fn build(checkpoint: &Checkpoint, take: &mut dyn FnMut(TensorProto)) -> GraphProto {
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
    graph.node("Identity", &[&features], "c5", Vec::new());
    let pooled = graph.node("GlobalAveragePool", &[&features], "pooled", Vec::new());
    graph.node(
        "Flatten",
        &[&pooled],
        "embedding",
        vec![AttributeProto::int("axis", 1)],
    );
    graph.finish()
}

struct Builder<'a> {
    checkpoint: &'a Checkpoint,
    nodes: Vec<NodeProto>,
    take: &'a mut dyn FnMut(TensorProto),
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
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
        });
        output.to_owned()
    }

    fn initializer(&mut self, name: &str, tensor: &Tensor) -> String {
        (self.take)(TensorProto {
            dims: tensor.shape().iter().map(|&axis| length(axis)).collect(),
            data_type: data_type::FLOAT,
            name: name.to_owned(),
            raw_data: little_endian(tensor.values()),
        });
        name.to_owned()
    }

    /// uint8 NHWC to normalised float32 NCHW. The mean goes first, so SAME padding's zeros stand for the mean colour.
    fn normalise(&mut self, images: &str) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the graph computes in float32"
        )]
        let channels = |values: [f64; 3]| {
            Tensor::new(vec![3, 1, 1], values.map(|value| value as f32).to_vec())
        };
        let mean = self.initializer("input.mean", &channels(INPUT_MEAN.map(|mean| mean * 255.0)));
        let factor = self.initializer(
            "input.factor",
            &channels(INPUT_STD.map(|std| 1.0 / (std * 255.0))),
        );
        let to = AttributeProto::int("to", i64::from(data_type::FLOAT));
        let floats = self.node("Cast", &[images], "input.float", vec![to]);
        let order = AttributeProto::ints("perm", &[0, 3, 1, 2]);
        let planes = self.node("Transpose", &[&floats], "input.planes", vec![order]);
        let centred = self.node("Sub", &[&planes, &mean], "input.centred", Vec::new());
        self.node("Mul", &[&centred, &factor], "input.normalised", Vec::new())
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
        let sum = self.node("Add", &[&x, &shortcut], &format!("{name}.sum"), Vec::new());
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
        self.node("Add", &[&x, &shortcut], &name, Vec::new())
    }

    fn conv_batch_norm(&mut self, x: &str, name: &str, batch_norm: &str, conv: Conv) -> String {
        let Folded { kernel, bias } = fold(self.checkpoint, name, batch_norm);
        let kernel = self.initializer(&format!("{name}.weight"), &kernel);
        let bias = self.initializer(&format!("{name}.bias"), &bias);
        self.node(
            "Conv",
            &[x, &kernel, &bias],
            name,
            window(conv.kernel, conv.stride),
        )
    }

    fn plain_conv(&mut self, x: &str, name: &str, conv: Conv) -> String {
        let weight = format!("{name}.weight");
        let kernel = self.initializer(&weight, self.checkpoint.get(&weight));
        self.node(
            "Conv",
            &[x, &kernel],
            name,
            window(conv.kernel, conv.stride),
        )
    }

    fn batch_norm(&mut self, x: &str, name: &str) -> String {
        let vectors = BatchNormField::ALL.map(|field| format!("{name}.{}", field.torch_name()));
        for vector in &vectors {
            self.initializer(vector, self.checkpoint.get(vector));
        }
        let [scale, offset, mean, variance] = &vectors;
        #[expect(clippy::cast_possible_truncation, reason = "the attribute is float32")]
        let epsilon = AttributeProto::float("epsilon", BATCH_NORM_EPSILON as f32);
        self.node(
            "BatchNormalization",
            &[x, scale, offset, mean, variance],
            name,
            vec![epsilon],
        )
    }

    fn relu(&mut self, x: &str, name: &str) -> String {
        self.node("Relu", &[x], name, Vec::new())
    }

    fn max_pool(&mut self, x: &str) -> String {
        self.node("MaxPool", &[x], "maxpool", window(3, 2))
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

fn length(axis: usize) -> i64 {
    i64::try_from(axis).expect("no axis of a network is 2^63 long")
}
