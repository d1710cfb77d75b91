//! Layouts of checkpoints: what is recognised, what is listed as unused, and what an error says.

use std::sync::Arc;

use detcon_converter::haiku::{HaikuError, HaikuTree, Layout, Network, Reason};
use detcon_converter::pickle::{
    Array, AxisOrder, ByteOrder, ClassName, DType, Data, Encoding, Kind, Text, Value,
};

const ENCODING: Encoding = Encoding {
    dtype: DType::F32,
    byte_order: ByteOrder::Little,
    axis_order: AxisOrder::C,
};

/// An array of `values` whose shape is their number.
fn floats(values: &[f32]) -> Value<'static> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Value::Array(
        Array::new(
            vec![values.len()],
            ENCODING,
            Data::Decoded(Arc::from(bytes)),
        )
        .unwrap(),
    )
}

fn dict(pairs: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
    Value::Dict(
        pairs
            .into_iter()
            .map(|(key, value)| (Value::Str(Text::File(key)), value))
            .collect(),
    )
}

fn params(weight: f32) -> Value<'static> {
    dict(vec![("net/~/conv", dict(vec![("w", floats(&[weight]))]))])
}

fn state() -> Value<'static> {
    let average = dict(vec![
        ("average", floats(&[2.0])),
        ("counter", Value::Int(3)),
    ]);
    dict(vec![("net/~/norm/~/mean_ema", average)])
}

fn experiment(fields: Vec<Value<'static>>) -> Value<'static> {
    let class = ClassName {
        module: Text::File("detcon.pretrain_common"),
        name: Text::File("ExperimentState"),
    };
    Value::NamedTuple {
        class: Arc::new(class),
        fields,
    }
}

fn keys(tree: &HaikuTree<'_>) -> Vec<String> {
    tree.entries
        .iter()
        .map(detcon_converter::haiku::Entry::key)
        .collect()
}

const KEYS: [&str; 3] = [
    "net/~/conv/w",
    "net/~/norm/~/mean_ema/average",
    "net/~/norm/~/mean_ema/counter",
];

#[test]
fn every_layout_gives_the_same_entries() {
    let Value::Dict(mut merged) = params(1.0) else {
        unreachable!()
    };
    let Value::Dict(averages) = state() else {
        unreachable!()
    };
    merged.extend(averages);
    let flat = vec![
        (KEYS[0], floats(&[1.0])),
        (KEYS[1], floats(&[2.0])),
        (KEYS[2], Value::Int(3)),
    ];
    let four = |network| match network {
        Network::Online => vec![params(1.0), params(9.0), state(), state()],
        Network::Target => vec![params(9.0), params(1.0), state(), state()],
    };
    let names = [
        "online_params",
        "target_params",
        "online_state",
        "target_state",
    ];
    let two = |network| dict(names.into_iter().zip(four(network)).collect());
    let class = "detcon.pretrain_common.ExperimentState".to_owned();
    for (value, network, layout) in [
        (Value::Dict(merged), Network::Online, Layout::Released),
        (dict(flat), Network::Online, Layout::Flat),
        (
            dict(vec![("state", state()), ("params", params(1.0))]),
            Network::Online,
            Layout::ParamsState,
        ),
        (
            Value::Tuple(vec![params(1.0), state()]),
            Network::Online,
            Layout::Tuple,
        ),
        (
            two(Network::Online),
            Network::Online,
            Layout::OnlineTarget {
                network: Network::Online,
            },
        ),
        (
            two(Network::Target),
            Network::Target,
            Layout::OnlineTarget {
                network: Network::Target,
            },
        ),
        (
            experiment([four(Network::Target), vec![Value::List(Vec::new())]].concat()),
            Network::Target,
            Layout::ExperimentState {
                network: Network::Target,
                class,
            },
        ),
    ] {
        let tree = HaikuTree::read(&value, network).unwrap();
        assert_eq!(
            (tree.layout.clone(), keys(&tree)),
            (layout, KEYS.map(str::to_owned).to_vec())
        );
        assert_eq!(tree.entries[0].array.to_f32().unwrap(), [1.0]);
        assert_eq!(tree.entries[2].array.to_i64().unwrap(), [3]);
    }
}

#[test]
fn what_is_not_used_is_listed_value_by_value() {
    let value = dict(vec![
        ("params", params(1.0)),
        (
            "opt_state",
            Value::List(vec![Value::Tuple(Vec::new()), params(0.0)]),
        ),
        ("step", Value::Int(5)),
        ("rng", floats(&[0.0])),
    ]);
    let tree = HaikuTree::read(&value, Network::Online).unwrap();
    let found: Vec<_> = tree
        .set_aside
        .iter()
        .map(|value| (value.key.as_str(), value.reason))
        .collect();
    let expected = [
        ("opt_state/1/net/~/conv/w", Reason::Optimizer),
        ("step", Reason::Progress),
        ("rng", Reason::RandomKey),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_not_known_is_named() {
    let unknown = dict(vec![("a", Value::None), ("b", params(1.0))]);
    let surplus = dict(vec![("params", params(1.0)), ("teacher", params(1.0))]);
    let mixed = dict(vec![
        ("params", params(1.0)),
        ("online_params", params(1.0)),
    ]);
    let number = Value::Dict(vec![(Value::Int(1), params(1.0))]);
    let deep = dict(vec![("a", dict(vec![("b", params(1.0))]))]);
    let half = dict(vec![
        ("online_params", params(1.0)),
        ("online_state", state()),
    ]);
    let twice = Value::Tuple(vec![params(1.0), params(1.0)]);
    let text = |text: &str| text.to_owned();
    for (value, expected) in [
        (
            unknown,
            HaikuError::UnknownLayout {
                keys: vec![text("a"), text("b")],
                more: 0,
            },
        ),
        (
            surplus,
            HaikuError::UnknownKey {
                key: text("teacher"),
                beside: text("params"),
            },
        ),
        (
            mixed,
            HaikuError::UnknownLayout {
                keys: vec![text("params"), text("online_params")],
                more: 0,
            },
        ),
        (
            number,
            HaikuError::KeyNotText {
                at: text("the checkpoint"),
                found: Kind::Int,
            },
        ),
        (
            deep,
            HaikuError::NotAnArray {
                key: text("a/b"),
                found: Kind::Dict,
            },
        ),
        (
            half,
            HaikuError::Missing {
                key: text("target_params"),
            },
        ),
        (
            twice,
            HaikuError::Duplicate {
                key: text("net/~/conv/w"),
            },
        ),
        (dict(Vec::new()), HaikuError::Empty),
        (
            dict(vec![("w", floats(&[1.0]))]),
            HaikuError::FlatKey { key: text("w") },
        ),
        (
            Value::Int(7),
            HaikuError::NotACheckpoint { found: Kind::Int },
        ),
        (
            experiment(vec![params(1.0)]),
            HaikuError::UnknownClass {
                class: text("detcon.pretrain_common.ExperimentState"),
                fields: 1,
            },
        ),
    ] {
        assert_eq!(HaikuTree::read(&value, Network::Target), Err(expected));
    }
}

#[test]
fn an_error_lists_the_first_few_keys() {
    let pairs = ["a", "b", "c", "d", "e", "f", "g", "h"]
        .map(|key| (key, Value::None))
        .to_vec();
    let error = HaikuTree::read(&dict(pairs), Network::Online)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(r#""a", "b", "c", "d", "e", "f" and 2 more"#),
        "{error}"
    );
}

#[test]
fn devices_must_agree_before_one_is_taken() {
    let counters = |values: &[f32]| {
        dict(vec![(
            "m",
            dict(vec![("w", floats(values)), ("counter", floats(values))]),
        )])
    };
    let tree = |value| HaikuTree::read(&value, Network::Online).unwrap();
    assert_eq!(tree(counters(&[4.0, 4.0])).devices(), Some(2));
    let first = tree(counters(&[4.0, 4.0])).first_device().unwrap();
    assert_eq!(first.entries[0].array.shape(), [0; 0]);
    assert_eq!(first.entries[0].array.to_f32().unwrap(), [4.0]);
    let differ = tree(counters(&[4.0, 5.0])).first_device();
    assert_eq!(
        differ,
        Err(HaikuError::ReplicasDiffer {
            key: "m/w".to_owned()
        })
    );
    let uneven = dict(vec![(
        "m",
        dict(vec![("w", floats(&[1.0, 1.0])), ("b", floats(&[1.0]))]),
    )]);
    let expected = HaikuError::NoDeviceAxis {
        key: "m/b".to_owned(),
        shape: vec![1],
        devices: 2,
    };
    assert_eq!(tree(uneven).first_device(), Err(expected));
    assert_eq!(tree(params(1.0)).devices(), None);
}
