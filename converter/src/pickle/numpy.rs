//! NumPy's and JAX's arrays: data types, and the state that fills an array. Shapes meet the limits, in checked
//! arithmetic, before anything is made of them, and the bytes must be exactly those that shape and type need.

use super::allow::Constructor;
use super::arena::{Dtype, Elements, Node, NodeId};
use super::array::Array;
use super::dtype::{AxisOrder, ByteOrder, DType, Encoding};
use super::error::{Limit, PickleError, readable};
use super::machine::Machine;
use super::shared::Data;

type Made<'a> = Result<Option<Node<'a>>, PickleError>;

impl<'a> Machine<'a, '_> {
    /// `_reconstruct(ndarray, (0,), b'b')`: the class and two placeholders.
    pub(super) fn empty_array(&self, arguments: &[NodeId]) -> bool {
        let &[class, shape, code] = arguments else {
            return false;
        };
        let placeholder = self.tuple(shape).is_some_and(|shape| match shape {
            [] => true,
            &[axis] => self.int(axis) == Some(0),
            _ => false,
        });
        self.is(class, Constructor::NumpyArray) && placeholder && self.text(code) == Some("b")
    }

    /// `dtype(code or class, align, copy)`.
    pub(super) fn dtype(&self, arguments: &[NodeId]) -> Made<'a> {
        let (&code, flags) = match arguments {
            [code] => (code, [].as_slice()),
            [code, flags @ ..] if flags.len() == 2 => (code, flags),
            _ => return Ok(None),
        };
        if flags.iter().any(|&flag| self.flag(flag).is_none()) {
            return Ok(None);
        }
        if let Some(dtype) = self.scalar_type(code) {
            let elements = Elements::Numbers(dtype);
            return Ok(Some(Node::Dtype(Dtype {
                elements,
                byte_order: ByteOrder::Little,
            })));
        }
        let Some(code) = self.text(code) else {
            return Ok(None);
        };
        let dtype = dtype(code).ok_or_else(|| PickleError::UnsupportedDtype {
            offset: self.offset,
            code: readable(code),
        })?;
        Ok(Some(Node::Dtype(dtype)))
    }

    /// State of a data type: version, byte order, three fields of structured types, sizes, flags, and from
    /// version 4 on metadata.
    pub(super) fn ordered_dtype(&self, dtype: Dtype, state: NodeId) -> Option<Node<'a>> {
        let &[
            version,
            order,
            subtype,
            names,
            fields,
            _,
            _,
            _,
            ref metadata @ ..,
        ] = self.tuple(state)?
        else {
            return None;
        };
        let known = match (self.int(version)?, metadata) {
            (3, []) => true,
            (4, &[metadata]) => matches!(self.arena.node(metadata), Node::None),
            _ => false,
        };
        let plain = [subtype, names, fields]
            .iter()
            .all(|&id| matches!(self.arena.node(id), Node::None));
        let byte_order = match self.text(order)? {
            "<" => ByteOrder::Little,
            ">" => ByteOrder::Big,
            // Elements of one byte, and objects, have none.
            "|" if dtype.elements.size() <= 1 => ByteOrder::Little,
            _ => return None,
        };
        (known && plain).then_some(Node::Dtype(Dtype {
            byte_order,
            ..dtype
        }))
    }

    /// `scalar(dtype, bytes)`.
    pub(super) fn scalar(&self, arguments: &[NodeId]) -> Made<'a> {
        let &[dtype, data] = arguments else {
            return Ok(None);
        };
        match (self.arena.node(dtype), self.data(data)) {
            (
                &Node::Dtype(Dtype {
                    elements: Elements::Numbers(dtype),
                    byte_order,
                }),
                Some(data),
            ) => {
                let encoding = Encoding {
                    dtype,
                    byte_order,
                    axis_order: AxisOrder::C,
                };
                self.array(Vec::new(), encoding, data).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `_frombuffer(bytes, dtype, shape, order)`, with a fifth argument of None from NumPy 2.3 on.
    pub(super) fn array_from_buffer(&self, arguments: &[NodeId]) -> Made<'a> {
        let &[data, dtype, shape, order, ref axes @ ..] = arguments else {
            return Ok(None);
        };
        let plain = match axes {
            [] => true,
            &[axes] => matches!(self.arena.node(axes), Node::None),
            _ => false,
        };
        let axis_order = match self.text(order) {
            Some("C") if plain => AxisOrder::C,
            Some("F") if plain => AxisOrder::Fortran,
            _ => return Ok(None),
        };
        match (self.arena.node(dtype), self.shape(shape)?, self.data(data)) {
            (
                &Node::Dtype(Dtype {
                    elements: Elements::Numbers(dtype),
                    byte_order,
                }),
                Some(shape),
                Some(data),
            ) => self
                .array(
                    shape,
                    Encoding {
                        dtype,
                        byte_order,
                        axis_order,
                    },
                    data,
                )
                .map(Some),
            _ => Ok(None),
        }
    }

    /// `_reconstruct_array(_reconstruct, its arguments, NumPy's state, JAX's state)`, and the same of dill, whose
    /// last argument is the attributes of an array's subclass or None.
    pub(super) fn wrapped_array(&self, arguments: &[NodeId]) -> Made<'a> {
        let &[function, inner, state, own_state] = arguments else {
            return Ok(None);
        };
        let known = self.is(function, Constructor::NumpyReconstruct)
            && self
                .tuple(inner)
                .is_some_and(|inner| self.empty_array(inner))
            && matches!(self.arena.node(own_state), Node::Dict(_) | Node::None);
        if known {
            self.filled_array(state)
        } else {
            Ok(None)
        }
    }

    /// State of an array: version, shape, data type, whether in Fortran order, bytes or objects.
    pub(super) fn filled_array(&self, state: NodeId) -> Made<'a> {
        let Some(&[version, shape, dtype, fortran, data]) = self.tuple(state) else {
            return Ok(None);
        };
        let (Some(1), Some(shape), &Node::Dtype(dtype), Some(fortran)) = (
            self.int(version),
            self.shape(shape)?,
            self.arena.node(dtype),
            self.flag(fortran),
        ) else {
            return Ok(None);
        };
        let axis_order = if fortran {
            AxisOrder::Fortran
        } else {
            AxisOrder::C
        };
        match (dtype.elements, self.arena.node(data)) {
            (Elements::Objects, Node::List(items)) => match (shape.as_slice(), items.as_slice()) {
                ([], &[item]) => Ok(Some(Node::Boxed(item))),
                (_, items) => Err(PickleError::ObjectArray {
                    offset: self.offset,
                    count: items.len(),
                }),
            },
            (Elements::Numbers(number), Node::Bytes(data)) => {
                let encoding = Encoding {
                    dtype: number,
                    byte_order: dtype.byte_order,
                    axis_order,
                };
                self.array(shape, encoding, data.clone()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Lengths of axes. Nothing where they are not integers from 0 on.
    pub(super) fn shape(&self, id: NodeId) -> Result<Option<Vec<usize>>, PickleError> {
        let Some(axes) = self.tuple(id) else {
            return Ok(None);
        };
        if axes.len() > self.limits.array_rank {
            return Err(self.over(Limit::ArrayRank, self.limits.array_rank as u64));
        }
        Ok(axes
            .iter()
            .map(|&axis| usize::try_from(self.int(axis)?).ok())
            .collect())
    }

    fn array(
        &self,
        shape: Vec<usize>,
        encoding: Encoding,
        data: Data<'a>,
    ) -> Result<Node<'a>, PickleError> {
        let needed = shape
            .iter()
            .try_fold(encoding.dtype.size(), |bytes, &axis| {
                bytes.checked_mul(axis)
            });
        let needed = needed
            .filter(|&bytes| bytes <= self.limits.array_bytes)
            .ok_or_else(|| self.over(Limit::ArrayBytes, self.limits.array_bytes as u64))?;
        let found = data.len();
        let offset = self.offset;
        Array::new(shape.clone(), encoding, data)
            .map(|array| Node::Array(Box::new(array)))
            .map_err(|_| PickleError::ArrayLength {
                offset,
                shape,
                needed,
                found,
            })
    }
}

impl Elements {
    /// Bytes of one element; objects have none of their own.
    fn size(self) -> usize {
        match self {
            Self::Numbers(dtype) => dtype.size(),
            Self::Objects => 0,
        }
    }
}

/// The data type with this NumPy code, such as `f4`, `<f4` or `O8`.
fn dtype(code: &str) -> Option<Dtype> {
    let (byte_order, code) = match code.as_bytes().first() {
        Some(b'<' | b'|') => (ByteOrder::Little, code.get(1..)?),
        Some(b'>') => (ByteOrder::Big, code.get(1..)?),
        _ => (ByteOrder::Little, code),
    };
    let elements = match code {
        "O" | "O4" | "O8" => Elements::Objects,
        "bfloat16" => return None, // a name of ours: NumPy's code for it is the class
        _ => Elements::Numbers(DType::from_code(code)?),
    };
    Some(Dtype {
        elements,
        byte_order,
    })
}
