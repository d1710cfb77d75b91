//! From the machine's arena to a tree of values. Before anything is built, one pass over the values that the
//! result reaches refuses cycles, nesting that is too deep, and sharing that would blow up when written out.

use std::collections::HashSet;

use super::arena::{Arena, Elements, Node, NodeId};
use super::error::{Limit, PickleError};
use super::limits::Limits;
use super::value::Value;

/// What a value amounts to once what it shares is written out.
#[derive(Clone, Copy, Default)]
struct Extent {
    depth: usize,
    values: u64,
    array_bytes: u64,
}

#[derive(Clone, Copy)]
enum Visit {
    New,
    Open,
    Done(Extent),
}

/// The value at `root` as a tree.
pub(super) fn seal<'a>(
    arena: &Arena<'a>,
    root: NodeId,
    limits: &Limits,
) -> Result<Value<'a>, PickleError> {
    check(arena, root, limits)?;
    build(arena, root)
}

/// Measures every value once, children first, without recursion.
fn check(arena: &Arena<'_>, root: NodeId, limits: &Limits) -> Result<(), PickleError> {
    let mut visits = vec![Visit::New; arena.len()];
    let mut pending = vec![root];
    while let Some(&id) = pending.last() {
        let offset = arena.offset(id);
        match visits[id.index()] {
            Visit::New => {
                visits[id.index()] = Visit::Open;
                let mut cyclic = false;
                arena
                    .node(id)
                    .for_each_child(|child| match visits[child.index()] {
                        Visit::New => pending.push(child),
                        Visit::Open => cyclic = true,
                        Visit::Done(_) => {}
                    });
                if cyclic {
                    return Err(PickleError::Cyclic { offset });
                }
            }
            Visit::Open => {
                let extent = extent(arena.node(id), &visits);
                within(extent, limits, offset)?;
                visits[id.index()] = Visit::Done(extent);
                pending.pop();
            }
            Visit::Done(_) => {
                pending.pop();
            }
        }
    }
    Ok(())
}

fn extent(node: &Node<'_>, visits: &[Visit]) -> Extent {
    let mut extent = Extent {
        depth: 0,
        values: 1,
        array_bytes: 0,
    };
    if let Node::Array(array) = node {
        extent.array_bytes = array.bytes().len() as u64;
    }
    node.for_each_child(|child| {
        if let Visit::Done(inner) = visits[child.index()] {
            extent.depth = extent.depth.max(inner.depth + 1);
            extent.values = extent.values.saturating_add(inner.values);
            extent.array_bytes = extent.array_bytes.saturating_add(inner.array_bytes);
        }
    });
    extent
}

fn within(extent: Extent, limits: &Limits, offset: usize) -> Result<(), PickleError> {
    let (limit, allowed) = if extent.depth > limits.depth {
        (Limit::Depth, limits.depth as u64)
    } else if extent.values > limits.values {
        (Limit::Values, limits.values)
    } else if extent.array_bytes > limits.total_array_bytes {
        (Limit::TotalArrayBytes, limits.total_array_bytes)
    } else {
        return Ok(());
    };
    Err(PickleError::Limit {
        offset,
        limit,
        allowed,
    })
}

/// Recurses no deeper than `Limits::depth`, which `check` has seen to.
fn build<'a>(arena: &Arena<'a>, id: NodeId) -> Result<Value<'a>, PickleError> {
    let offset = arena.offset(id);
    let all = |items: &[NodeId]| {
        items
            .iter()
            .map(|&item| build(arena, item))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match arena.node(id) {
        Node::None => Value::None,
        &Node::Bool(value) => Value::Bool(value),
        &Node::Int(value) => Value::Int(value),
        &Node::Float(value) => Value::Float(value),
        Node::Text(text) => Value::Str(text.clone()),
        Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
        Node::List(items) => Value::List(all(items)?),
        Node::Tuple(items) => Value::Tuple(all(items)?),
        Node::Set(items) => Value::Set(all(items)?),
        Node::Dict(pairs) => Value::Dict(mapping(arena, pairs, offset)?),
        Node::Dtype(dtype) => match dtype.elements {
            Elements::Numbers(dtype) => Value::Dtype(dtype),
            Elements::Objects => {
                return Err(PickleError::UnsupportedDtype {
                    offset,
                    code: "O".to_owned(),
                });
            }
        },
        Node::EmptyArray => return Err(PickleError::Unfinished { offset }),
        Node::Array(array) => Value::Array((**array).clone()),
        &Node::Boxed(item) => build(arena, item)?,
        Node::NamedTuple(class, fields) => Value::NamedTuple {
            class: std::sync::Arc::clone(class),
            fields: all(fields)?,
        },
        Node::Foreign(class, _) | Node::Object(class) => {
            Value::Opaque(std::sync::Arc::clone(class))
        }
        other @ (Node::Constructor(_)
        | Node::Class(_)
        | Node::Storage(_)
        | Node::Listed(_)
        | Node::Opaque) => {
            return Err(PickleError::WrongKind {
                offset,
                found: other.kind(),
            });
        }
    })
}

fn mapping<'a>(
    arena: &Arena<'a>,
    pairs: &[(NodeId, NodeId)],
    offset: usize,
) -> Result<Vec<(Value<'a>, Value<'a>)>, PickleError> {
    let mut texts = HashSet::new();
    let mut integers = HashSet::new();
    let mut built = Vec::with_capacity(pairs.len());
    for &(key, value) in pairs {
        let (new, shown) = match arena.node(key) {
            Node::Text(text) => (texts.insert(&**text), &**text),
            &Node::Int(integer) => (integers.insert(integer), "an integer"),
            _ => (true, ""),
        };
        if !new {
            return Err(PickleError::DuplicateKey {
                offset,
                key: super::error::readable(shown),
            });
        }
        hashable(arena, key, offset)?;
        built.push((build(arena, key)?, build(arena, value)?));
    }
    Ok(built)
}

/// Refuses keys that Python refuses. Recurses no deeper than `Limits::depth`.
fn hashable(arena: &Arena<'_>, key: NodeId, offset: usize) -> Result<(), PickleError> {
    match arena.node(key) {
        Node::None
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_)
        | Node::Foreign(..)
        | Node::Object(_) => Ok(()),
        Node::Tuple(items) | Node::NamedTuple(_, items) => items
            .iter()
            .try_for_each(|&item| hashable(arena, item, offset)),
        other @ (Node::List(_)
        | Node::Set(_)
        | Node::Dict(_)
        | Node::Constructor(_)
        | Node::Class(_)
        | Node::Dtype(_)
        | Node::EmptyArray
        | Node::Array(_)
        | Node::Boxed(_)
        | Node::Storage(_)
        | Node::Listed(_)
        | Node::Opaque) => Err(PickleError::UnhashableKey {
            offset,
            found: other.kind(),
        }),
    }
}
