//! From a value to the entries of one network, by the keys that tell the layout.

use std::sync::Arc;

use super::layout::{Layout, Network, Part, part};
use super::{Entry, HaikuError, HaikuTree, Reason, SetAside};
use crate::pickle::{
    Array, AxisOrder, ByteOrder, ClassName, DType, Data, Encoding, Value, readable,
};

/// Fields of `detcon.pretrain_common.ExperimentState` and of `byol.byol_experiment._ByolExperimentState`. A
/// pickle does not hold them; the two classes agree, and so does every copy of them that was only renamed.
const EXPERIMENT_FIELDS: [&str; 5] = [
    "online_params",
    "target_params",
    "online_state",
    "target_state",
    "opt_state",
];

/// Keys that an error lists.
const SHOWN_KEYS: usize = 6;

type Pairs<'v, 'a> = Vec<(&'v str, &'v Value<'a>)>;

pub(super) fn read<'a>(value: &Value<'a>, network: Network) -> Result<HaikuTree<'a>, HaikuError> {
    match value {
        Value::Dict(pairs) => {
            let pairs = by_text(pairs, "the checkpoint")?;
            match pairs.iter().find(|(key, _)| part(key).is_some()) {
                Some(&(told, _)) => parts(&pairs, told, network),
                None => modules_or_flat(&pairs),
            }
        }
        Value::NamedTuple { class, fields } => experiment(class, fields, network),
        Value::Tuple(items) | Value::List(items) => match items.as_slice() {
            [params @ Value::Dict(_), state @ Value::Dict(_)] => {
                let mut tree = HaikuTree::new(Layout::Tuple);
                tree.add_modules("params", params)?;
                tree.add_modules("state", state)?;
                Ok(tree)
            }
            _ => Err(HaikuError::NotACheckpoint {
                found: value.kind(),
            }),
        },
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::Set(_)
        | Value::Array(_)
        | Value::Opaque(_)
        | Value::Dtype(_) => Err(HaikuError::NotACheckpoint {
            found: value.kind(),
        }),
    }
}

/// A mapping of which at least one key, `told`, is in the table; all must be.
fn parts<'a>(
    pairs: &Pairs<'_, 'a>,
    told: &str,
    network: Network,
) -> Result<HaikuTree<'a>, HaikuError> {
    let mut known = Vec::with_capacity(pairs.len());
    for &(key, value) in pairs {
        let part = part(key).ok_or_else(|| HaikuError::UnknownKey {
            key: readable(key),
            beside: told.to_owned(),
        })?;
        known.push((key, part, value));
    }
    let has = |wanted: Part| known.iter().any(|&(_, part, _)| part == wanted);
    let two = has(Part::ParamsOf(Network::Online)) || has(Part::ParamsOf(Network::Target));
    match (has(Part::Experiment), two, has(Part::Params)) {
        (true, false, false) => beside_experiment(&known, network),
        (false, true, false) => two_networks(&known, network),
        (false, false, true) => params_state(&known),
        (false, false, false) => Err(HaikuError::Missing {
            key: "params".to_owned(),
        }),
        _ => Err(unknown_layout(pairs)),
    }
}

type Known<'v, 'a> = [(&'v str, Part, &'v Value<'a>)];

fn params_state<'a>(known: &Known<'_, 'a>) -> Result<HaikuTree<'a>, HaikuError> {
    let mut tree = HaikuTree::new(Layout::ParamsState);
    for wanted in [Part::Params, Part::State] {
        for &(key, _, value) in known.iter().filter(|row| row.1 == wanted) {
            tree.add_modules(key, value)?;
        }
    }
    for &(key, part, value) in known {
        match part {
            Part::Params | Part::State => {}
            Part::Unused(reason) => tree.set_aside(key, value, reason),
            Part::ParamsOf(_) | Part::StateOf(_) | Part::Experiment => {
                return Err(HaikuError::UnknownKey {
                    key: key.to_owned(),
                    beside: "params".to_owned(),
                });
            }
        }
    }
    Ok(tree)
}

fn two_networks<'a>(known: &Known<'_, 'a>, network: Network) -> Result<HaikuTree<'a>, HaikuError> {
    let mut tree = HaikuTree::new(Layout::OnlineTarget { network });
    let find = |wanted: Part| known.iter().find(|row| row.1 == wanted);
    let &(key, _, params) = find(Part::ParamsOf(network)).ok_or_else(|| HaikuError::Missing {
        key: format!("{network}_params"),
    })?;
    tree.add_modules(key, params)?;
    match (
        find(Part::StateOf(network)),
        find(Part::StateOf(network.other())),
    ) {
        (Some(&(key, _, state)), _) => tree.add_modules(key, state)?,
        (None, Some(_)) => {
            return Err(HaikuError::Missing {
                key: format!("{network}_state"),
            });
        }
        (None, None) => {}
    }
    for &(key, part, value) in known {
        match part {
            Part::ParamsOf(of) | Part::StateOf(of) if of == network => {}
            Part::ParamsOf(of) | Part::StateOf(of) => {
                tree.set_aside(key, value, Reason::OtherNetwork(of));
            }
            Part::Unused(reason) => tree.set_aside(key, value, reason),
            Part::Params | Part::State | Part::Experiment => {
                return Err(HaikuError::UnknownKey {
                    key: key.to_owned(),
                    beside: format!("{network}_params"),
                });
            }
        }
    }
    Ok(tree)
}

/// An experiment's state beside the step and the like. Only one level: an experiment does not hold another.
fn beside_experiment<'a>(
    known: &Known<'_, 'a>,
    network: Network,
) -> Result<HaikuTree<'a>, HaikuError> {
    let mut tree = None;
    let mut rest = Vec::new();
    for &(key, part, value) in known {
        match (part, value) {
            (Part::Experiment, Value::NamedTuple { class, fields }) if tree.is_none() => {
                tree = Some(experiment(class, fields, network)?);
            }
            (Part::Experiment, Value::Dict(pairs)) if tree.is_none() => {
                let pairs = by_text(pairs, key)?;
                tree = Some(two_networks(&experiment_parts(&pairs)?, network)?);
            }
            (Part::Unused(reason), _) => rest.push((key, value, reason)),
            _ => {
                return Err(HaikuError::UnknownKey {
                    key: key.to_owned(),
                    beside: "experiment_state".to_owned(),
                });
            }
        }
    }
    let mut tree = tree.ok_or_else(|| HaikuError::Missing {
        key: "experiment_state".to_owned(),
    })?;
    for (key, value, reason) in rest {
        tree.set_aside(key, value, reason);
    }
    Ok(tree)
}

fn experiment<'a>(
    class: &ClassName<'_>,
    fields: &[Value<'a>],
    network: Network,
) -> Result<HaikuTree<'a>, HaikuError> {
    let class = readable(&format!("{}.{}", class.module, class.name));
    if !class.ends_with("ExperimentState") || fields.len() != EXPERIMENT_FIELDS.len() {
        return Err(HaikuError::UnknownClass {
            class,
            fields: fields.len(),
        });
    }
    let pairs = EXPERIMENT_FIELDS.into_iter().zip(fields).collect();
    let mut tree = two_networks(&experiment_parts(&pairs)?, network)?;
    tree.layout = Layout::ExperimentState { network, class };
    Ok(tree)
}

fn experiment_parts<'v, 'a>(
    pairs: &Pairs<'v, 'a>,
) -> Result<Vec<(&'v str, Part, &'v Value<'a>)>, HaikuError> {
    pairs
        .iter()
        .map(|&(key, value)| match part(key) {
            Some(part) => Ok((key, part, value)),
            None => Err(HaikuError::UnknownKey {
                key: readable(key),
                beside: "experiment_state".to_owned(),
            }),
        })
        .collect()
}

/// A mapping whose keys are module paths, or module paths and names in one.
fn modules_or_flat<'a>(pairs: &Pairs<'_, 'a>) -> Result<HaikuTree<'a>, HaikuError> {
    if pairs
        .iter()
        .all(|(_, value)| matches!(value, Value::Dict(_)))
    {
        let mut tree = HaikuTree::new(Layout::Released);
        pairs
            .iter()
            .try_for_each(|&(module, value)| tree.add_module(module, value))?;
        return Ok(tree);
    }
    if pairs.iter().any(|(_, value)| leaf(value).is_none()) {
        return Err(unknown_layout(pairs));
    }
    let mut tree = HaikuTree::new(Layout::Flat);
    for &(key, value) in pairs {
        let (module, name) = key
            .rsplit_once('/')
            .ok_or_else(|| HaikuError::FlatKey { key: readable(key) })?;
        tree.add(module, name, value)?;
    }
    Ok(tree)
}

fn unknown_layout(pairs: &Pairs<'_, '_>) -> HaikuError {
    HaikuError::UnknownLayout {
        keys: pairs
            .iter()
            .take(SHOWN_KEYS)
            .map(|(key, _)| readable(key))
            .collect(),
        more: pairs.len().saturating_sub(SHOWN_KEYS),
    }
}

fn by_text<'v, 'a>(
    pairs: &'v [(Value<'a>, Value<'a>)],
    at: &str,
) -> Result<Pairs<'v, 'a>, HaikuError> {
    pairs
        .iter()
        .map(|(key, value)| match key.as_text() {
            Some(text) => Ok((text, value)),
            None => Err(HaikuError::KeyNotText {
                at: readable(at),
                found: key.kind(),
            }),
        })
        .collect()
}

/// An array, or a number as an array without axes: what older haiku versions made of counters.
fn leaf<'a>(value: &Value<'a>) -> Option<Array<'a>> {
    let scalar = |dtype, bytes: [u8; 8]| {
        let encoding = Encoding {
            dtype,
            byte_order: ByteOrder::Little,
            axis_order: AxisOrder::C,
        };
        Array::new(Vec::new(), encoding, Data::Decoded(Arc::from(bytes))).ok()
    };
    match value {
        Value::Array(array) => Some(array.clone()),
        Value::Int(value) => scalar(DType::I64, value.to_le_bytes()),
        Value::Float(value) => scalar(DType::F64, value.to_le_bytes()),
        Value::None
        | Value::Bool(_)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Tuple(_)
        | Value::Set(_)
        | Value::Dict(_)
        | Value::Opaque(_)
        | Value::Dtype(_)
        | Value::NamedTuple { .. } => None,
    }
}

impl<'a> HaikuTree<'a> {
    const fn new(layout: Layout) -> Self {
        Self {
            layout,
            entries: Vec::new(),
            set_aside: Vec::new(),
        }
    }

    fn add_modules(&mut self, key: &str, value: &Value<'a>) -> Result<(), HaikuError> {
        let Value::Dict(pairs) = value else {
            return Err(HaikuError::NotAModule {
                key: readable(key),
                found: value.kind(),
            });
        };
        by_text(pairs, key)?
            .into_iter()
            .try_for_each(|(module, value)| self.add_module(module, value))
    }

    fn add_module(&mut self, module: &str, value: &Value<'a>) -> Result<(), HaikuError> {
        let Value::Dict(pairs) = value else {
            return Err(HaikuError::NotAModule {
                key: readable(module),
                found: value.kind(),
            });
        };
        by_text(pairs, module)?
            .into_iter()
            .try_for_each(|(name, value)| self.add(module, name, value))
    }

    fn add(&mut self, module: &str, name: &str, value: &Value<'a>) -> Result<(), HaikuError> {
        let array = leaf(value).ok_or_else(|| HaikuError::NotAnArray {
            key: readable(&format!("{module}/{name}")),
            found: value.kind(),
        })?;
        self.entries.push(Entry {
            module: module.to_owned(),
            name: name.to_owned(),
            array,
        });
        Ok(())
    }

    /// Lists every value below `value`. Recurses no deeper than the value nests, which its limits see to.
    fn set_aside(&mut self, key: &str, value: &Value<'a>, reason: Reason) {
        match value {
            Value::Dict(pairs) => {
                for (index, (inner, value)) in pairs.iter().enumerate() {
                    let inner = inner
                        .as_text()
                        .map_or_else(|| index.to_string(), str::to_owned);
                    self.set_aside(&format!("{key}/{inner}"), value, reason);
                }
            }
            Value::List(items)
            | Value::Tuple(items)
            | Value::Set(items)
            | Value::NamedTuple { fields: items, .. } => {
                for (index, value) in items.iter().enumerate() {
                    self.set_aside(&format!("{key}/{index}"), value, reason);
                }
            }
            Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Str(_)
            | Value::Bytes(_)
            | Value::Array(_)
            | Value::Opaque(_)
            | Value::Dtype(_) => self.set_aside.push(SetAside {
                key: key.to_owned(),
                reason,
            }),
        }
    }
}
