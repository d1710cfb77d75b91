//! The network as a graph: from pixels to `c5` and `embedding`.

use detcon_core::arch::{BatchNormField, Block, ChannelOrder, Conv, Padding, Version, Window};
use detcon_core::checkpoint::Checkpoint;

use super::Input;
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

/// The stem's convolution, which reads pixels.
const STEM: &str = "conv1";

/// Builds the graph of a checkpoint. Values are called as the modules that make them. The weights go to `take` one
/// by one: the graph that is given back has none.
pub(super) fn build(
    checkpoint: &Checkpoint,
    input: Input,
    take: &mut dyn FnMut(Weight<'_>),
) -> GraphProto {
    let mut graph = Builder {
        checkpoint,
        nodes: Vec::new(),
        take,
    };
    let pixels = graph.normalise("images", input);
    let features = match checkpoint.spec().version() {
        Version::V1 => graph.network_v1(&pixels),
        Version::V2 => graph.network_v2(&pixels),
    };
    graph.node(op::IDENTITY, &[&features.name], "c5", Vec::new());
    let pooled = graph.node(
        op::GLOBAL_AVERAGE_POOL,
        &[&features.name],
        "pooled",
        Vec::new(),
    );
    graph.node(
        op::FLATTEN,
        &[&pooled],
        "embedding",
        vec![AttributeProto::int("axis", 1)],
    );
    graph.finish(input, features.size)
}

/// A value between layers.
#[derive(Clone)]
struct Value {
    name: String,
    /// Height and width, where the graph is of a fixed size.
    size: Option<[usize; 2]>,
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

    /// Pixels to normalised float32 NCHW. The mean goes first, so padding's zeros stand for the mean colour.
    fn normalise(&mut self, images: &str, input: Input) -> Value {
        let normalization = self.checkpoint.spec().normalization();
        let normalization = normalization.in_rgb().of_pixels_over(1.0);
        let mean = self.channels("input.mean", normalization.mean());
        let factor = normalization.std().map(|std| 1.0 / std);
        let factor = self.channels("input.factor", factor);
        let (planes, size) = match input {
            Input::Bytes => {
                let to = AttributeProto::int("to", i64::from(data_type::FLOAT));
                let floats = self.node(op::CAST, &[images], "input.float", vec![to]);
                let order = AttributeProto::ints("perm", &[0, 3, 1, 2]);
                let planes = self.node(op::TRANSPOSE, &[&floats], "input.planes", vec![order]);
                (planes, None)
            }
            Input::Planes(size) => (images.to_owned(), Some(size)),
        };
        let centred = self.node(op::SUB, &[&planes, &mean], "input.centred", Vec::new());
        let name = "input.normalised";
        let name = self.node(op::MUL, &[&centred, &factor], name, Vec::new());
        Value { name, size }
    }

    fn network_v1(&mut self, pixels: &Value) -> Value {
        let stem = self.conv_batch_norm(pixels, STEM, "bn1", self.checkpoint.spec().stem());
        let stem = self.relu(&stem, "relu1");
        let mut x = self.max_pool(&stem);
        for block in self.checkpoint.spec().blocks() {
            x = self.block_v1(&x, &block);
        }
        x
    }

    fn block_v1(&mut self, input: &Value, block: &Block) -> Value {
        let name = block.name();
        let mut x = input.clone();
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
            None => input.clone(),
        };
        let sum = self.add(&x, &shortcut, &format!("{name}.sum"));
        self.relu(&sum, &name)
    }

    fn network_v2(&mut self, pixels: &Value) -> Value {
        let stem = self.plain_conv(pixels, STEM, self.checkpoint.spec().stem());
        let mut x = self.max_pool(&stem);
        for block in self.checkpoint.spec().blocks() {
            x = self.block_v2(&x, &block);
        }
        let normalised = self.batch_norm(&x, "norm");
        self.relu(&normalised, "relu")
    }

    /// The batch norm before the first convolution stands alone; the others fold into the convolution before them.
    fn block_v2(&mut self, input: &Value, block: &Block) -> Value {
        let name = block.name();
        let normalised = self.batch_norm(input, &format!("{name}.bn1"));
        let mut x = self.relu(&normalised, &format!("{name}.relu1"));
        let shortcut = match block.shortcut {
            Some(conv) => self.plain_conv(&x, &format!("{name}.downsample.0"), conv),
            None => input.clone(),
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
        self.add(&x, &shortcut, &name)
    }

    fn conv_batch_norm(&mut self, x: &Value, name: &str, batch_norm: &str, conv: Conv) -> Value {
        let fold = Fold::new(self.checkpoint, name, batch_norm);
        let shape = fold.kernel.shape();
        let order = self.order(name);
        let kernel = self.initializer(&format!("{name}.weight"), shape, &|| {
            in_rgb(order, fold.kernel(), shape)
        });
        let bias = self.initializer(&format!("{name}.bias"), &shape[..1], &|| fold.bias());
        let inputs = [x.name.as_str(), &kernel, &bias];
        self.slide(op::CONV, &inputs, name, (x.size, conv.window()))
    }

    fn plain_conv(&mut self, x: &Value, name: &str, conv: Conv) -> Value {
        let tensor = self.checkpoint.get(&format!("{name}.weight"));
        let order = self.order(name);
        let kernel = self.initializer(&format!("{name}.weight"), tensor.shape(), &|| {
            in_rgb(order, tensor.values().to_vec(), tensor.shape())
        });
        let inputs = [x.name.as_str(), &kernel];
        self.slide(op::CONV, &inputs, name, (x.size, conv.window()))
    }

    /// The order of a convolution's inputs, which matters for pixels alone.
    fn order(&self, name: &str) -> ChannelOrder {
        if name == STEM {
            self.checkpoint.spec().normalization().channels()
        } else {
            ChannelOrder::Rgb
        }
    }

    fn batch_norm(&mut self, x: &Value, name: &str) -> Value {
        let vectors = BatchNormField::ALL.map(|field| format!("{name}.{}", field.torch_name()));
        for vector in &vectors {
            self.parameter(vector);
        }
        let [scale, offset, mean, variance] = &vectors;
        #[expect(clippy::cast_possible_truncation, reason = "the attribute is float32")]
        let epsilon = AttributeProto::float("epsilon", self.checkpoint.spec().epsilon() as f32);
        let name = self.node(
            op::BATCH_NORM,
            &[&x.name, scale, offset, mean, variance],
            name,
            vec![epsilon],
        );
        Value { name, size: x.size }
    }

    fn relu(&mut self, x: &Value, name: &str) -> Value {
        let name = self.node(op::RELU, &[&x.name], name, Vec::new());
        Value { name, size: x.size }
    }

    fn add(&mut self, a: &Value, b: &Value, name: &str) -> Value {
        let name = self.node(op::ADD, &[&a.name, &b.name], name, Vec::new());
        Value { name, size: a.size }
    }

    fn max_pool(&mut self, x: &Value) -> Value {
        self.slide(
            op::MAX_POOL,
            &[&x.name],
            "maxpool",
            (x.size, Window::STEM_POOL),
        )
    }

    /// A node whose window slides over an input of a size.
    fn slide(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        name: &str,
        (size, window): (Option<[usize; 2]>, Window),
    ) -> Value {
        let attributes = attributes(self.checkpoint.spec().padding(), window, size);
        Value {
            name: self.node(op_type, inputs, name, attributes),
            size: size.map(|size| size.map(|axis| window.outputs(axis))),
        }
    }

    fn finish(self, input: Input, features: Option<[usize; 2]>) -> GraphProto {
        let axis = |name: &str| Dimension::Param(name.to_owned());
        let known = |axis: usize| Dimension::Value(length(axis));
        let channels = known(self.checkpoint.spec().embedding_size());
        let (pixels, images, count) = match input {
            Input::Bytes => {
                let images = [axis("N"), axis("H"), axis("W"), known(3)];
                (data_type::UINT8, images, axis("N"))
            }
            Input::Planes([height, width]) => {
                let images = [known(1), known(3), known(height), known(width)];
                (data_type::FLOAT, images, known(1))
            }
        };
        let [h, w] = features.map_or([axis("h"), axis("w")], |size| size.map(known));
        let c5 = [count.clone(), channels.clone(), h, w];
        GraphProto {
            node: self.nodes,
            name: self.checkpoint.spec().to_string(),
            initializer: Vec::new(),
            input: vec![ValueInfoProto::tensor("images", pixels, &images)],
            output: vec![
                ValueInfoProto::tensor("embedding", data_type::FLOAT, &[count, channels]),
                ValueInfoProto::tensor("c5", data_type::FLOAT, &c5),
            ],
        }
    }
}

/// A kernel `[outputs, 3, height, width]` whose inputs are brought to the graph's order, red first.
fn in_rgb(order: ChannelOrder, mut kernel: Vec<f32>, shape: &[usize]) -> Vec<f32> {
    match (order, shape) {
        (ChannelOrder::Rgb, _) => {}
        (ChannelOrder::Bgr, shape) => {
            let area: usize = shape[2..].iter().product();
            for kernel in kernel.chunks_exact_mut(3 * area) {
                let (first, rest) = kernel.split_at_mut(area);
                first.swap_with_slice(&mut rest[area..]);
            }
        }
    }
    kernel
}

/// Attributes of a window.
///
/// TensorFlow's SAME depends on the size at strides above 1: it is worked out where the size is known, and else left to
/// the engine. All other padding is written out: engines fuse explicit padding best.
fn attributes(padding: Padding, window: Window, size: Option<[usize; 2]>) -> Vec<AttributeProto> {
    let depends = padding == Padding::Same && window.stride > 1;
    let pads = match (size, depends) {
        (None, true) => AttributeProto::string("auto_pad", "SAME_UPPER"),
        (size, _) => {
            // At stride 1 an odd kernel's padding is the same at every size.
            let [height, width] = size.unwrap_or([window.extent(); 2]);
            let [top, bottom] = padding.sides(height, window);
            let [left, right] = padding.sides(width, window);
            AttributeProto::ints("pads", &[top, left, bottom, right].map(length))
        }
    };
    let both = |name: &str, value: usize| AttributeProto::ints(name, &[length(value); 2]);
    let mut attributes = vec![
        both("kernel_shape", window.kernel),
        both("strides", window.stride),
        pads,
    ];
    if window.dilation > 1 {
        attributes.push(both("dilations", window.dilation));
    }
    attributes
}
