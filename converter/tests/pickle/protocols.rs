//! The same values in every protocol, as Python and NumPy write them (`make.py` beside this file), and pickles of
//! libraries that wrap NumPy's arrays in constructors of their own.

use std::path::Path;

use detcon_converter::haiku::{HaikuTree, Layout, Network};
use detcon_converter::pickle::{self, Array, DType, Limits, Value, Verdict};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/pickle/protocols")
            .join(name),
    )
    .unwrap()
}

fn get<'v, 'a>(value: &'v Value<'a>, key: &str) -> &'v Value<'a> {
    let Value::Dict(pairs) = value else {
        panic!("{value:?} is no mapping");
    };
    &pairs
        .iter()
        .find(|(found, _)| found.as_text() == Some(key))
        .unwrap()
        .1
}

fn array<'v, 'a>(value: &'v Value<'a>, key: &str) -> &'v Array<'a> {
    match get(value, key) {
        Value::Array(array) => array,
        other => panic!("{key} is {other:?}"),
    }
}

fn ints(items: &[i64]) -> Vec<Value<'static>> {
    items.iter().map(|&item| Value::Int(item)).collect()
}

fn counting(to: u8) -> Vec<f32> {
    (0..to).map(f32::from).collect()
}

#[test]
fn every_protocol_gives_the_same_values() {
    let reference = file("protocol5.pkl");
    let reference = pickle::parse(&reference, &Limits::default()).unwrap();
    for protocol in 0..5 {
        let file = file(&format!("protocol{protocol}.pkl"));
        assert_eq!(
            pickle::parse(&file, &Limits::default()).unwrap(),
            reference,
            "protocol {protocol}"
        );
        let listed = pickle::globals(&file, 0, &Limits::default());
        assert_eq!(listed.stopped, None, "protocol {protocol}");
        assert!(
            listed
                .uses
                .iter()
                .all(|found| found.verdict == Verdict::Allowed),
            "protocol {protocol}: {listed:?}"
        );
    }
}

#[test]
fn plain_values_are_those_that_python_wrote() {
    let file = file("protocol0.pkl");
    let value = pickle::parse(&file, &Limits::default()).unwrap();
    assert_eq!(get(&value, "none"), &Value::None);
    assert_eq!(
        (get(&value, "yes"), get(&value, "no")),
        (&Value::Bool(true), &Value::Bool(false))
    );
    let written = [0, 255, 65535, -1, 1 << 31, i64::MIN, i64::MAX];
    assert_eq!(get(&value, "ints"), &Value::List(ints(&written)));
    assert_eq!(get(&value, "float"), &Value::Float(-1.5));
    let text = "tab\t, back\\slash, é, \u{20ac}, \u{1f600}\n";
    assert_eq!(get(&value, "text").as_text(), Some(text));
    for (key, bytes) in [
        ("bytes", &b"\x00\x7f\xff"[..]),
        ("empty bytes", b""),
        ("bytearray", b"\x01\xfe"),
    ] {
        assert!(
            matches!(get(&value, key), Value::Bytes(found) if **found == *bytes),
            "{key}"
        );
    }
    let tuples = (0..5)
        .map(|length| Value::Tuple(ints(&[1, 2, 3, 4][..length])))
        .collect();
    assert_eq!(get(&value, "tuples"), &Value::Tuple(tuples));
    assert_eq!(get(&value, "set"), &Value::Set(ints(&[7])));
    let ordered = get(&value, "ordered");
    assert_eq!(
        (get(ordered, "first"), get(ordered, "second")),
        (&Value::Int(1), &Value::Int(2))
    );
    assert_eq!(
        get(&value, "shared"),
        &Value::List(vec![ordered.clone(), ordered.clone()])
    );
    assert_eq!(get(get(&value, "default"), "key"), &Value::List(ints(&[1])));
    assert_eq!(get(&value, "dtype"), &Value::Dtype(DType::I64));
}

#[test]
fn arrays_read_in_c_order_whatever_they_are_stored_as() {
    for protocol in 0..=5 {
        let file = file(&format!("protocol{protocol}.pkl"));
        let value = pickle::parse(&file, &Limits::default()).unwrap();
        let floats = |key| array(&value, key).to_f32().unwrap();
        assert_eq!(
            (array(&value, "c").shape(), floats("c")),
            (&[2, 3][..], counting(6))
        );
        assert_eq!(
            (array(&value, "fortran").shape(), floats("fortran")),
            (&[2, 3, 4][..], counting(24))
        );
        assert_eq!(floats("big"), counting(3));
        assert_eq!(floats("half"), counting(3));
        assert_eq!(
            (
                array(&value, "float scalar").shape(),
                floats("float scalar")
            ),
            (&[][..], vec![0.5])
        );
        assert_eq!(
            (array(&value, "empty").shape(), floats("empty")),
            (&[0, 3][..], Vec::new())
        );
        assert_eq!(array(&value, "scalar").to_i64().unwrap(), [-7]);
        assert_eq!(array(&value, "bool").to_i64().unwrap(), [1, 0]);
        assert_eq!(array(&value, "bytes of int").to_i64().unwrap(), [0, 1, 2]);
    }
}

#[test]
fn array_data_is_borrowed_from_the_file() {
    let file = file("protocol3.pkl");
    let value = pickle::parse(&file, &Limits::default()).unwrap();
    assert!(
        file.as_ptr_range()
            .contains(&array(&value, "c").bytes().as_ptr())
    );
}

/// Experiments save every array with a leading axis of devices, and BYOL saves with dill.
#[test]
fn an_experiments_state_reads_in_every_protocol_and_from_dill() {
    let names = (0..=5)
        .map(|protocol| format!("experiment{protocol}.pkl"))
        .chain(["dill.pkl".to_owned()]);
    for name in names {
        let file = file(&name);
        let value = pickle::parse(&file, &Limits::default()).unwrap();
        let tree = HaikuTree::read(&value, Network::Target).unwrap();
        let class = "detcon.pretrain_common.ExperimentState".to_owned();
        assert_eq!(
            tree.layout,
            Layout::ExperimentState {
                network: Network::Target,
                class
            },
            "{name}"
        );
        assert_eq!(tree.devices(), Some(2), "{name}");
        let tree = tree.first_device().unwrap();
        let found: Vec<_> = tree
            .entries
            .iter()
            .map(|entry| (entry.key(), entry.array.shape().to_vec()))
            .collect();
        let expected = [
            ("m/w", vec![2]),
            ("m/~/mean_ema/counter", vec![]),
            ("m/~/mean_ema/average", vec![1]),
        ];
        assert_eq!(
            found,
            expected.map(|(key, shape)| (key.to_owned(), shape)),
            "{name}"
        );
        assert_eq!(
            tree.entries[0].array.to_f32().unwrap(),
            [1.0, 2.0],
            "{name}"
        );
    }
}

#[test]
fn jax_arrays_read_as_the_arrays_they_wrap() {
    let file = file("jax.pkl");
    let value = pickle::parse(&file, &Limits::default()).unwrap();
    let module = get(&value, "m");
    assert_eq!(
        (
            array(module, "w").shape(),
            array(module, "w").to_f32().unwrap()
        ),
        (&[2, 3][..], counting(6))
    );
    assert_eq!(
        (
            array(module, "b").dtype(),
            array(module, "b").to_f32().unwrap()
        ),
        (DType::BF16, counting(3))
    );
}
