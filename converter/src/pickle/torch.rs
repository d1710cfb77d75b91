//! PyTorch's tensors: views of storages. A view reads only inside its storage, and one that is not in C order is
//! copied out; how much is, is bounded by the archive.

use std::sync::Arc;

use super::allow::Constructor;
use super::arena::{Node, NodeId};
use super::array::Array;
use super::dtype::{AxisOrder, ByteOrder, DType, Encoding};
use super::error::{Limit, PickleError};
use super::machine::{Machine, Step};
use super::shared::Data;
use super::storage::{Gathered, Outside, Storage};

impl<'a> Machine<'a, '_> {
    /// The storage of a persistent id.
    pub(super) fn storage(&mut self, id: NodeId) -> Step {
        let outside = PickleError::PersistentId {
            offset: self.offset,
        };
        let node = match self.named_storage(id) {
            Some(storage) => Node::Storage(storage),
            None => self.foreign_storage(id).ok_or(outside)?,
        };
        self.push(node)
    }

    /// A storage of a type that no weight is of (complex, quantized): it is not built, and no tensor of it is.
    fn foreign_storage(&self, id: NodeId) -> Option<Node<'a>> {
        let Outside::Storages(_) = self.outside else {
            return None;
        };
        let &[kind, class, ..] = self.tuple(id)? else {
            return None;
        };
        let class = self.foreign(class)?;
        let torch = class.module.split('.').next() == Some("torch");
        (self.text(kind) == Some("storage") && torch).then_some(Node::Object(class))
    }

    /// `('storage', type, key, device, length)`, and in files before PyTorch 1.6 that it is no part of another.
    fn named_storage(&mut self, id: NodeId) -> Option<Storage<'a>> {
        let &[kind, class, key, _, length, ref part @ ..] = self.tuple(id)? else {
            return None;
        };
        let &Node::Constructor(Constructor::TorchStorage(dtype)) = self.arena.node(class) else {
            return None;
        };
        let whole = match part {
            [] => true,
            &[part] => matches!(self.arena.node(part), Node::None),
            _ => false,
        };
        (whole && self.text(kind) == Some("storage")).then_some(())?;
        let key = self.text(key)?.to_owned();
        let elements = usize::try_from(self.int(length)?).ok()?;
        let length = elements.checked_mul(dtype.size())?;
        let (bytes, byte_order) = match &mut self.outside {
            Outside::Nothing => return None,
            Outside::Storages(storages) => {
                (*storages.by_key.get(key.as_str())?, storages.byte_order)
            }
            Outside::Sizes(sizes) => {
                let size = (elements, length);
                return (*sizes.entry(key).or_insert(size) == size).then_some(Storage {
                    bytes: &[],
                    encoding: encoding(dtype, ByteOrder::Little),
                });
            }
        };
        (bytes.len() == length).then_some(Storage {
            bytes,
            encoding: encoding(dtype, byte_order),
        })
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`, with metadata in later versions.
    pub(super) fn tensor(&mut self, arguments: &[NodeId]) -> Result<Option<Node<'a>>, PickleError> {
        let &[storage, start, shape, strides, _, hooks, ref metadata @ ..] = arguments else {
            return Ok(None);
        };
        if let Some(class) = self.unbuilt(storage) {
            return Ok(Some(Node::Object(class)));
        }
        let plain = metadata.len() <= 1
            && matches!(self.arena.node(hooks), Node::Dict(hooks) if hooks.is_empty());
        let (&Node::Storage(storage), true) = (self.arena.node(storage), plain) else {
            return Ok(None);
        };
        if matches!(self.outside, Outside::Sizes(_)) {
            return Ok(Some(Node::None));
        }
        let (Some(shape), Some(strides)) = (self.shape(shape)?, self.shape(strides)?) else {
            return Ok(None);
        };
        let Some(start) = self
            .int(start)
            .and_then(|start| usize::try_from(start).ok())
        else {
            return Ok(None);
        };
        let Some(view) = View::new(start, &shape, &strides) else {
            return Ok(None);
        };
        if !view.inside(storage.bytes.len() / storage.encoding.dtype.size()) {
            return Ok(None);
        }
        let data = self.view(storage, &view)?;
        Ok(Array::new(shape, storage.encoding, data)
            .ok()
            .map(|array| Node::Array(Box::new(array))))
    }

    fn view(&mut self, storage: Storage<'a>, view: &View<'_>) -> Result<Data<'a>, PickleError> {
        let size = storage.encoding.dtype.size();
        if view.contiguous() {
            let bytes = storage.bytes.get(view.start * size..);
            let bytes = bytes.and_then(|rest| rest.get(..view.elements * size));
            return Ok(Data::File(bytes.unwrap_or_default()));
        }
        let key = Gathered {
            storage: storage.bytes.as_ptr() as usize,
            start: view.start,
            shape: view.shape.to_vec(),
            strides: view.strides.to_vec(),
            size,
        };
        // Tied weights are the same view under several names.
        if let Some(data) = self.views.get(&key) {
            return Ok(data.clone());
        }
        let most = match &self.outside {
            Outside::Storages(storages) => storages.total,
            Outside::Nothing | Outside::Sizes(_) => 0,
        };
        self.gathered = self
            .gathered
            .saturating_add(view.elements.saturating_mul(size));
        if self.gathered > most {
            return Err(self.over(Limit::TotalArrayBytes, most as u64));
        }
        let mut data = Vec::with_capacity(view.elements * size);
        for element in 0..view.elements {
            let at = view.place(element) * size;
            data.extend_from_slice(storage.bytes.get(at..at + size).unwrap_or_default());
        }
        let data = Data::Decoded(Arc::from(data));
        self.views.insert(key, data.clone());
        Ok(data)
    }

    /// `_rebuild_parameter(tensor, requires_grad, hooks)` is the tensor, with attributes behind that or not.
    pub(super) fn parameter(&mut self, arguments: &[NodeId]) -> Option<()> {
        let &[tensor, _, _, ref attributes @ ..] = arguments else {
            return None;
        };
        let made = matches!(
            (&self.outside, self.arena.node(tensor)),
            (_, Node::Array(_) | Node::Object(_)) | (Outside::Sizes(_), Node::None)
        );
        (made && attributes.len() <= 1).then(|| self.push_again(tensor))
    }

    /// PyTorch hangs `_metadata` on the mapping of a state dict: versions of modules, which no weight depends on.
    pub(super) fn attributes_of_mapping(&self, target: NodeId, state: NodeId) -> bool {
        !matches!(self.outside, Outside::Nothing)
            && matches!(self.arena.node(target), Node::Dict(_))
            && matches!(self.arena.node(state), Node::Dict(_))
    }
}

const fn encoding(dtype: DType, byte_order: ByteOrder) -> Encoding {
    Encoding {
        dtype,
        byte_order,
        axis_order: AxisOrder::C,
    }
}

/// Elements of a storage: the one at `start` first, `strides` apart along each axis.
struct View<'s> {
    start: usize,
    shape: &'s [usize],
    strides: &'s [usize],
    elements: usize,
}

impl<'s> View<'s> {
    fn new(start: usize, shape: &'s [usize], strides: &'s [usize]) -> Option<Self> {
        let elements = shape
            .iter()
            .try_fold(1_usize, |n, &axis| n.checked_mul(axis))?;
        (shape.len() == strides.len()).then_some(Self {
            start,
            shape,
            strides,
            elements,
        })
    }

    /// Whether every element is one of `length`.
    fn inside(&self, length: usize) -> bool {
        if self.elements == 0 {
            return self.start <= length;
        }
        let mut axes = self.shape.iter().zip(self.strides);
        axes.try_fold(self.start, |last, (&axis, &stride)| {
            last.checked_add((axis - 1).checked_mul(stride)?)
        })
        .is_some_and(|last| last < length)
    }

    fn contiguous(&self) -> bool {
        let mut expected = 1;
        let axes = self.shape.iter().zip(self.strides).rev();
        self.elements == 0
            || axes.fold(true, |so_far, (&axis, &stride)| {
                let fits = axis == 1 || stride == expected;
                expected *= axis;
                so_far && fits
            })
    }

    /// Where the element with this number in C order is.
    fn place(&self, mut element: usize) -> usize {
        let axes = self.shape.iter().zip(self.strides).rev();
        axes.fold(self.start, |place, (&axis, &stride)| {
            let index = element % axis;
            element /= axis;
            place + index * stride
        })
    }
}
