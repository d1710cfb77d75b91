//! Allowed constructors with arguments or state that their libraries never write.

use detcon_converter::pickle::{self, Constructor, Kind, Limits, PickleError};

use super::assembler::{array, bytes, dtype, empty_array, error, global, pickle, shape, text};

#[test]
fn constructors_take_only_what_their_libraries_write() {
    let dtype = dtype("f4");
    for (constructor, parts) in [
        (
            Constructor::NumpyReconstruct,
            [
                &global("numpy.core.multiarray", "_reconstruct")[..],
                b"",
                b")R",
            ],
        ),
        (
            Constructor::NumpyReconstruct,
            [
                &global("numpy.core.multiarray", "_reconstruct"),
                &global("builtins", "list"),
                b"K\x00\x85C\x01b\x87R",
            ],
        ),
        (
            Constructor::NumpyScalar,
            [&global("numpy.core.multiarray", "scalar"), b"N", b"N\x86R"],
        ),
        (
            Constructor::NumpyFromBuffer,
            [&global("numpy.core.numeric", "_frombuffer"), b"", b")R"],
        ),
        (
            Constructor::NumpyArray,
            [&global("numpy", "ndarray"), b"", b")R"],
        ),
        (
            Constructor::NumpyDtype,
            [&global("numpy", "dtype"), b"", b")R"],
        ),
        (
            Constructor::NumpyDtype,
            [&global("numpy", "dtype"), b"N", b"\x85R"],
        ),
        (
            Constructor::JaxArray,
            [
                &global("jax._src.array", "_reconstruct_array"),
                &global("builtins", "list"),
                b")N}tR",
            ],
        ),
        (
            Constructor::Mapping,
            [&global("collections", "OrderedDict"), b"K\x01", b"\x85R"],
        ),
        (
            Constructor::Mapping,
            [&global("builtins", "dict"), b"]K\x01a", b"\x85R"],
        ),
        (
            Constructor::DefaultDict,
            [&global("collections", "defaultdict"), b"K\x01", b"\x85R"],
        ),
        (
            Constructor::Encode,
            [
                &global("_codecs", "encode"),
                &text("a"),
                b"\x8c\x03hex\x86R",
            ],
        ),
        (
            Constructor::Encode,
            [
                &global("_codecs", "encode"),
                &text("\u{20ac}"),
                b"\x8c\x06latin1\x86R",
            ],
        ),
        (
            Constructor::Reconstructor,
            [
                &global("copyreg", "_reconstructor"),
                &global("builtins", "list"),
                b"NN\x87R",
            ],
        ),
        (
            Constructor::NumpyDtype,
            [&dtype, b"(K\x03\x8c\x01=NNNK\x00K\x00K\x00", b"tb"],
        ),
        (Constructor::NumpyReconstruct, [&empty_array(), b"", b"Nb"]),
    ] {
        let mut file = pickle(&[parts[0], parts[1], parts[2]]);
        if parts[2] == b")N}tR" {
            file = pickle(&[parts[0], b"(", parts[1], parts[2]]);
        }
        let expected = PickleError::Arguments {
            offset: file.len() - 2,
            constructor,
        };
        assert_eq!(error(&file), expected);
    }
}

#[test]
fn data_types_other_than_numbers_are_refused() {
    for code in [
        "U5", "S3", "V2", "M8[ns]", "c8", "f3", "bfloat16", "", "\u{20ac}",
    ] {
        let file = pickle(&[&global("numpy", "dtype"), &text(code), b"\x89\x88\x87R"]);
        let expected = PickleError::UnsupportedDtype {
            offset: file.len() - 2,
            code: code.to_owned(),
        };
        assert_eq!(error(&file), expected);
    }
}

#[test]
fn arrays_of_several_objects_and_unfinished_arrays_are_refused() {
    let objects = [
        global("numpy", "dtype"),
        text("O8"),
        b"\x89\x88\x87R".to_vec(),
    ]
    .concat();
    let file = pickle(&[&array(&shape(&[2]), &objects, b"](NNe")]);
    assert_eq!(
        error(&file),
        PickleError::ObjectArray {
            offset: file.len() - 2,
            count: 2
        }
    );
    let boxed = pickle(&[&array(&shape(&[]), &objects, b"]Na")]);
    assert_eq!(
        pickle::parse(&boxed, &Limits::default()),
        Ok(pickle::Value::None)
    );
    let file = pickle(&[&empty_array()]);
    assert_eq!(
        error(&file),
        PickleError::Unfinished {
            offset: file.len() - 2
        }
    );
    let file = pickle(&[&global("builtins", "list")]);
    assert_eq!(
        error(&file),
        PickleError::WrongKind {
            offset: 2,
            found: Kind::Constructor
        }
    );
}

#[test]
fn state_is_set_on_arrays_alone() {
    for (part, found) in [
        (&b"}Nb"[..], Kind::Dict),
        (b"]Nb", Kind::List),
        (b"NNb", Kind::None),
    ] {
        let file = pickle(&[part]);
        assert_eq!(
            error(&file),
            PickleError::NoState {
                offset: file.len() - 2,
                found
            }
        );
    }
    let tuple = pickle(&[&global("optax._src.base", "EmptyState"), b")\x81}b"]);
    assert_eq!(
        error(&tuple),
        PickleError::NoState {
            offset: tuple.len() - 2,
            found: Kind::NamedTuple
        }
    );
    let twice = pickle(&[&array(&shape(&[1]), &dtype("f4"), &bytes(&[0; 4])), b"Nb"]);
    assert_eq!(
        error(&twice),
        PickleError::NoState {
            offset: twice.len() - 2,
            found: Kind::Array
        }
    );
}
