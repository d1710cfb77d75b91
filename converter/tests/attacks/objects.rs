//! Globals, calls and state: whatever is not on the allow-list, and whatever is but not as its library writes it.

use detcon_converter::pickle::{self, Constructor, Kind, Limits, PickleError};

use super::assembler::{array, bytes, dtype, empty_array, error, global, pickle, shape, text};

fn forbidden(module: &str, name: &str, offset: usize) -> PickleError {
    PickleError::ForbiddenGlobal {
        module: module.to_owned(),
        name: name.to_owned(),
        offset,
    }
}

#[test]
fn a_forbidden_global_is_refused_however_it_is_named() {
    let call = [&text("id")[..], b"\x85R"].concat();
    assert_eq!(
        error(&pickle(&[&global("os", "system"), &call])),
        forbidden("os", "system", 2)
    );
    let stacked = pickle(&[&text("os"), &text("system"), b"\x93", &call]);
    assert_eq!(error(&stacked), forbidden("os", "system", 14));
    assert_eq!(
        error(&pickle(&[b"(S'id'\nios\nsystem\n"])),
        forbidden("os", "system", 9)
    );
    assert_eq!(
        error(&pickle(&[b"(", &global("os", "system"), &text("id"), b"o"])),
        forbidden("os", "system", 3)
    );
    // A name with a dot would reach through an allowed module into what it imports.
    assert_eq!(
        error(&pickle(&[&global("numpy", "f2py.os.system")])),
        forbidden("numpy", "f2py.os.system", 2)
    );
    assert_eq!(
        error(&pickle(&[&global("optax._src", "x.os.system")])),
        forbidden("optax._src", "x.os.system", 2)
    );
}

#[test]
fn a_global_that_is_never_called_is_refused_all_the_same() {
    let file = pickle(&[&global("builtins", "eval"), b"0N"]);
    assert_eq!(error(&file), forbidden("builtins", "eval", 2));
}

#[test]
fn names_are_shown_escaped_and_cut() {
    let long = "x".repeat(300);
    let PickleError::ForbiddenGlobal { module, name, .. } =
        error(&pickle(&[&global("a\x1b[31m", &long)]))
    else {
        panic!("another error");
    };
    assert_eq!(module, "a\\u{1b}[31m");
    assert!(name.chars().count() < 100);
}

#[test]
fn a_global_named_by_something_else_than_text_is_refused() {
    for part in [
        &b"NN\x93"[..],
        b"K\x01K\x02\x93",
        b"]]\x93",
        b"C\x02osC\x06system\x93",
    ] {
        let file = pickle(&[part]);
        assert_eq!(
            error(&file),
            PickleError::GlobalNotText {
                offset: file.len() - 2
            }
        );
    }
}

#[test]
fn extensions_persistent_ids_and_outside_buffers_are_refused() {
    assert_eq!(
        error(b"\x82\x07."),
        PickleError::Extension { offset: 0, code: 7 }
    );
    assert_eq!(
        error(b"\x83\x07\x01."),
        PickleError::Extension {
            offset: 0,
            code: 263
        }
    );
    assert_eq!(
        error(b"\x84\x07\x00\x00\x01."),
        PickleError::Extension {
            offset: 0,
            code: 0x0100_0007
        }
    );
    assert_eq!(
        error(b"Pstorage\n."),
        PickleError::PersistentId { offset: 0 }
    );
    assert_eq!(error(b"NQ."), PickleError::PersistentId { offset: 1 });
    assert_eq!(error(b"\x97."), PickleError::OutOfBandBuffer { offset: 0 });
    assert_eq!(error(b"N\x98."), PickleError::OutOfBandBuffer { offset: 1 });
}

#[test]
fn only_constructors_are_called() {
    assert_eq!(
        error(b"N)R."),
        PickleError::NotCallable {
            offset: 2,
            found: Kind::None
        }
    );
    assert_eq!(
        error(b"K\x01)R."),
        PickleError::NotCallable {
            offset: 3,
            found: Kind::Int
        }
    );
    assert_eq!(
        error(b"N)\x81."),
        PickleError::NotCallable {
            offset: 2,
            found: Kind::None
        }
    );
    // What a call makes is no constructor either.
    let chain = pickle(&[&global("builtins", "list"), b")R)R"]);
    assert_eq!(
        error(&chain),
        PickleError::NotCallable {
            offset: chain.len() - 2,
            found: Kind::List
        }
    );
    let made = pickle(&[&global("builtins", "dict"), b")\x81"]);
    assert_eq!(
        error(&made),
        PickleError::NotCallable {
            offset: made.len() - 2,
            found: Kind::Constructor
        }
    );
    let arguments = pickle(&[&global("builtins", "list"), b"NR"]);
    assert_eq!(
        error(&arguments),
        PickleError::WrongKind {
            offset: arguments.len() - 2,
            found: Kind::None
        }
    );
}

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

#[test]
fn items_go_into_containers_of_their_kind() {
    for (part, found) in [
        (&b"}Na"[..], Kind::Dict),
        (b")Na", Kind::Tuple),
        (b"]NNs", Kind::List),
        (b"NNNs", Kind::None),
    ] {
        let file = pickle(&[part]);
        assert_eq!(
            error(&file),
            PickleError::WrongKind {
                offset: file.len() - 2,
                found
            }
        );
    }
}

#[test]
fn keys_are_hashable_and_occur_once() {
    assert_eq!(
        error(b"}]Ns."),
        PickleError::UnhashableKey {
            offset: 0,
            found: Kind::List
        }
    );
    assert_eq!(
        error(b"}}Ns."),
        PickleError::UnhashableKey {
            offset: 0,
            found: Kind::Dict
        }
    );
    assert_eq!(
        error(b"}]\x85Ns."),
        PickleError::UnhashableKey {
            offset: 0,
            found: Kind::List
        }
    );
    let twice = error(b"}(\x8c\x01aN\x8c\x01aNu.");
    assert_eq!(
        twice,
        PickleError::DuplicateKey {
            offset: 0,
            key: "a".to_owned()
        }
    );
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

/// The listing goes on where reading stops, and says so where it cannot.
#[test]
fn every_global_of_a_hostile_pickle_is_listed() {
    let file = pickle(&[
        b"(",
        &global("os", "system"),
        &text("id"),
        b"\x85R}b",
        b"\x82\x07NR",
        &text("builtins"),
        b"q\x00",
        &text("eval"),
        b"q\x01\x93h\x00h\x01\x93)\x81Q",
        &global("numpy", "dtype"),
        b"t",
    ]);
    let listed = pickle::globals(&file, 0, &Limits::default());
    let names: Vec<_> = listed
        .uses
        .iter()
        .map(|found| (&*found.module, &*found.name, found.allowed))
        .collect();
    let expected = [
        ("os", "system", false),
        ("copyreg extension", "7", false),
        ("builtins", "eval", false),
        ("builtins", "eval", false),
        ("numpy", "dtype", true),
    ];
    assert_eq!((names.as_slice(), listed.stopped), (&expected[..], None));

    let cut = pickle::globals(&file[..file.len() - 5], 0, &Limits::default());
    assert_eq!(cut.uses.len(), 4);
    assert!(matches!(cut.stopped, Some(PickleError::Truncated { .. })));
}
