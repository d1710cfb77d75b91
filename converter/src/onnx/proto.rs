//! The part of ONNX's protobuf schema that graphs here are written in.
//!
//! Source: `onnx.proto` of ONNX 1.17 (field numbers are the format).

use prost::Message;

/// `TensorProto.DataType`.
pub(crate) mod data_type {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const INT32: i32 = 6;
    pub(crate) const FLOAT16: i32 = 10;
}

/// `TensorProto.DataLocation`.
pub(crate) mod external {
    /// In another file.
    pub(crate) const EXTERNAL: i32 = 1;
}

/// Operators that the graphs are made of.
pub(crate) mod op {
    pub(crate) const ADD: &str = "Add";
    pub(crate) const BATCH_NORM: &str = "BatchNormalization";
    pub(crate) const CAST: &str = "Cast";
    pub(crate) const CONV: &str = "Conv";
    pub(crate) const DEQUANTIZE: &str = "DequantizeLinear";
    pub(crate) const FLATTEN: &str = "Flatten";
    pub(crate) const GLOBAL_AVERAGE_POOL: &str = "GlobalAveragePool";
    pub(crate) const IDENTITY: &str = "Identity";
    pub(crate) const MAX_POOL: &str = "MaxPool";
    pub(crate) const MUL: &str = "Mul";
    pub(crate) const QUANTIZE: &str = "QuantizeLinear";
    pub(crate) const RELU: &str = "Relu";
    pub(crate) const SUB: &str = "Sub";
    pub(crate) const TRANSPOSE: &str = "Transpose";
}

/// `AttributeProto.AttributeType`.
mod attribute_type {
    pub(super) const FLOAT: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const STRING: i32 = 3;
    pub(super) const INTS: i32 = 7;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    #[prost(string, tag = "3")]
    pub(crate) producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
}

impl GraphProto {
    /// The nodes that read a value.
    pub(crate) fn consumers(&self, value: &str) -> impl Iterator<Item = &NodeProto> {
        let reads = move |node: &&NodeProto| node.input.iter().any(|input| input == value);
        self.node.iter().filter(reads)
    }

    /// The node that makes a value; none for inputs and initializers.
    pub(crate) fn producer(&self, value: &str) -> Option<&NodeProto> {
        self.node
            .iter()
            .find(|node| node.output.iter().any(|output| output == value))
    }

    /// The same graph with further values among its outputs, float32 of any shape.
    pub(crate) fn with_outputs(&self, values: &[String]) -> Self {
        let mut graph = self.clone();
        let output = |value: &String| ValueInfoProto::unshaped(value, data_type::FLOAT);
        graph.output.extend(values.iter().map(output));
        graph
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeProto>,
}

impl NodeProto {
    /// A node with one output, called as the value that it makes.
    pub(crate) fn new(
        op_type: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> Self {
        Self {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, tag = "2")]
    pub(crate) f: f32,
    #[prost(int64, tag = "3")]
    pub(crate) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) s: Vec<u8>,
    #[prost(int64, repeated, tag = "8")]
    pub(crate) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(crate) r#type: i32,
}

impl AttributeProto {
    pub(crate) fn float(name: &str, f: f32) -> Self {
        Self {
            name: name.to_owned(),
            f,
            r#type: attribute_type::FLOAT,
            ..Self::default()
        }
    }

    pub(crate) fn int(name: &str, i: i64) -> Self {
        Self {
            name: name.to_owned(),
            i,
            r#type: attribute_type::INT,
            ..Self::default()
        }
    }

    pub(crate) fn string(name: &str, s: &str) -> Self {
        Self {
            name: name.to_owned(),
            s: s.into(),
            r#type: attribute_type::STRING,
            ..Self::default()
        }
    }

    pub(crate) fn ints(name: &str, ints: &[i64]) -> Self {
        Self {
            name: name.to_owned(),
            ints: ints.to_vec(),
            r#type: attribute_type::INTS,
            ..Self::default()
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    pub(crate) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

impl TensorProto {
    /// A tensor of any element type; `bytes` are its values, little-endian, in C order.
    pub(crate) fn new(name: &str, data_type: i32, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            dims: shape.iter().map(|&axis| length(axis)).collect(),
            data_type,
            name: name.to_owned(),
            raw_data: bytes,
            ..Self::default()
        }
    }

    /// A float32 tensor.
    pub(crate) fn floats(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        Self::new(name, data_type::FLOAT, shape, bytes.collect())
    }

    /// The values of a float32 tensor.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        let (values, _) = self.raw_data.as_chunks();
        values
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()
    }
}

/// A length as the format writes it.
pub(crate) fn length(axis: usize) -> i64 {
    i64::try_from(axis).expect("no axis of a network is 2^63 long")
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(crate) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DimensionProto {
    #[prost(oneof = "Dimension", tags = "1, 2")]
    pub(crate) value: Option<Dimension>,
}

/// A length that is known, or the name of one that is not.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Dimension {
    #[prost(int64, tag = "1")]
    Value(i64),
    #[prost(string, tag = "2")]
    Param(String),
}

impl ValueInfoProto {
    /// A tensor whose shape the engine infers.
    pub(crate) fn unshaped(name: &str, elem_type: i32) -> Self {
        let tensor_type = TensorTypeProto {
            elem_type,
            shape: None,
        };
        Self {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                tensor_type: Some(tensor_type),
            }),
        }
    }

    pub(crate) fn tensor(name: &str, elem_type: i32, shape: &[Dimension]) -> Self {
        let dim = shape
            .iter()
            .map(|value| DimensionProto {
                value: Some(value.clone()),
            })
            .collect();
        let tensor_type = TensorTypeProto {
            elem_type,
            shape: Some(TensorShapeProto { dim }),
        };
        Self {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                tensor_type: Some(tensor_type),
            }),
        }
    }
}
