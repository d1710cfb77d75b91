//! Whatever the bytes are, reading them ends in a value or an error, within the limits.

use detcon_converter::haiku::{HaikuTree, Network};
use detcon_converter::pickle::{self, Array, Limits, Value};
use detcon_converter::{npy, source};
use proptest::prelude::*;

/// Small enough that a value beyond them is noticed.
fn limits() -> Limits {
    Limits {
        opcodes: 20_000,
        memo_entries: 5_000,
        depth: 16,
        values: 5_000,
        total_array_bytes: 1 << 20,
        array_bytes: 1 << 18,
        ..Limits::default()
    }
}

/// Values, depth and array bytes of a tree.
fn extent(value: &Value<'_>) -> (u64, usize, u64) {
    let of_array = |array: &Array<'_>| array.bytes().len() as u64;
    let children: Vec<&Value<'_>> = match value {
        Value::List(items)
        | Value::Tuple(items)
        | Value::Set(items)
        | Value::NamedTuple { fields: items, .. } => items.iter().collect(),
        Value::Dict(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        Value::Array(array) => return (1, 0, of_array(array)),
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::Opaque(_)
        | Value::Dtype(_) => Vec::new(),
    };
    children.into_iter().map(extent).fold(
        (1, 0, 0),
        |(values, depth, bytes), (more, inner, array_bytes)| {
            (values + more, depth.max(inner + 1), bytes + array_bytes)
        },
    )
}

fn reads_within_limits(bytes: &[u8]) {
    let limits = limits();
    let _ = npy::pickle_start(bytes);
    let listed = pickle::globals(bytes, 0, &limits);
    assert!(listed.uses.len() <= limits.opcodes);
    for value in [
        pickle::parse(bytes, &limits).ok(),
        source::read(bytes, &limits).ok(),
    ]
    .into_iter()
    .flatten()
    {
        let (values, depth, array_bytes) = extent(&value);
        assert!(
            values <= limits.values
                && depth <= limits.depth
                && array_bytes <= limits.total_array_bytes
        );
        for network in [Network::Online, Network::Target] {
            if let Ok(tree) = HaikuTree::read(&value, network) {
                let _ = tree.devices();
                let _ = tree.first_device();
            }
        }
    }
}

/// Opcodes with plausible operands come up far more often than among random bytes.
fn opcodes() -> impl Strategy<Value = Vec<u8>> {
    let operations = prop::sample::select(vec![
        &b"("[..],
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"\x89",
        b"]",
        b")",
        b"}",
        b"\x8f",
        b"l",
        b"t",
        b"d",
        b"\x91",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x90",
        b"\x94",
        b"\x93",
        b"o",
        b"R",
        b"b",
        b"\x81",
        b"\x92",
        b"q\x00",
        b"q\x01",
        b"h\x00",
        b"h\x01",
        b"K\x00",
        b"K\x01",
        b"K\x03",
        b"C\x01b",
        b"C\x04\0\0\0\0",
        b"\x8c\x01<",
        b"\x8c\x02f4",
        b"\x8c\x02O8",
        b"\x8c\x06latin1",
        b"J\xff\xff\xff\xff",
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy.core.numeric\n_frombuffer\n",
        b"c_codecs\nencode\n",
        b"cbuiltins\nlist\n",
        b"cbuiltins\ndict\n",
        b"ccopyreg\n_reconstructor\n",
        b"coptax.a\nb\n",
        b"cos\nsystem\n",
    ]);
    prop::collection::vec(operations, 0..200).prop_map(|parts| [&parts.concat()[..], b"."].concat())
}

/// Pieces of a `.npy` header, in any order.
fn header_words() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "'",
        "'descr'",
        "'fortran_order'",
        "'shape'",
        "'|O'",
        "'<f4'",
        "False",
        "True",
        "3",
        "4L",
        "18446744073709551616",
        "\\",
        "é",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

/// A `.npy` file of version 1 to 3 with this header and nothing behind it.
fn npy_file(version: u8, header: &str) -> Vec<u8> {
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length };
    [npy::MAGIC, &[version, 0], length, header.as_bytes()].concat()
}

proptest! {
    #[test]
    fn npy_headers_never_panic_and_are_read_to_their_end(version in 1_u8..=3, header in header_words()) {
        let file = npy_file(version, &header);
        if let Ok(start) = npy::pickle_start(&file) {
            prop_assert_eq!(start, file.len());
        }
        for length in 0..file.len() {
            prop_assert!(npy::pickle_start(&file[..length]).is_err());
        }
    }

    /// What NumPy may write: keys in any order, either quote, white space, and any padding.
    #[test]
    fn every_spelling_of_an_objects_header_is_read(
        version in 1_u8..=3,
        keys in Just(vec!["'descr': '|O'", "'fortran_order': False", "'shape': ()"]).prop_shuffle(),
        double in any::<bool>(),
        padding in 0_usize..200,
    ) {
        let header = format!("{{{}, }}{}\n", keys.join(", "), " ".repeat(padding));
        let header = if double { header.replace('\'', "\"") } else { header };
        let file = npy_file(version, &header);
        prop_assert_eq!(npy::pickle_start(&file), Ok(file.len()));
    }

    /// Every array of numbers is told from a checkpoint, with its type and shape.
    #[test]
    fn plain_arrays_are_refused_with_type_and_shape(
        descr in "[<>|=][fiub][1248]",
        shape in prop::collection::vec(0_usize..=usize::MAX, 0..6),
    ) {
        let axes: Vec<_> = shape.iter().map(|axis| format!("{axis}, ")).collect();
        let axes = axes.concat();
        let header = format!("{{'descr': '{descr}', 'fortran_order': True, 'shape': ({axes}), }}\n");
        let expected = npy::NpyError::PlainArray { descr, shape };
        prop_assert_eq!(npy::pickle_start(&npy_file(1, &header)), Err(expected));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        reads_within_limits(&bytes);
    }

    #[test]
    fn random_opcodes_never_panic(bytes in opcodes()) {
        reads_within_limits(&bytes);
    }

    #[test]
    fn a_damaged_checkpoint_never_panics(
        file in prop::sample::select(vec!["released.npy", "byol.pkl", "jaxarray_new.npy", "flatmapping.npy"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let path = crate::golden::folder().join("checkpoints").join(format!("tiny.{file}"));
        let mut bytes = std::fs::read(path).unwrap();
        // Most of a file is array data: damage goes where the structure is more often than not.
        for (place, change) in changes {
            let within = if change % 4 == 0 { bytes.len() } else { bytes.len().min(4000) };
            bytes[place.index(within)] = change;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        reads_within_limits(&bytes);
    }
}
