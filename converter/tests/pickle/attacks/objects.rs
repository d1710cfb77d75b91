//! Globals, calls and keys: whatever is not on the allow-list, or not a constructor at all.

use detcon_converter::pickle::{self, Kind, Limits, PickleError, Verdict};

use super::assembler::{error, global, pickle, text};

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

/// A function that nobody knows could do anything; a class that is only named, or made an object of, runs nothing here.
#[test]
fn what_is_not_known_is_left_out_where_it_is_made_and_refused_where_it_is_called() {
    let named = pickle(&[&global("mine.settings", "Config")]);
    assert!(pickle::parse(&named, &Limits::default()).is_ok());
    let made = pickle(&[&global("mine.settings", "Config"), b")\x81}b"]);
    assert!(pickle::parse(&made, &Limits::default()).is_ok());
    for call in [b")R".to_vec(), [&text("x")[..], b"\x85R"].concat()] {
        let called = pickle(&[&global("mine.settings", "load"), &call]);
        let unknown = PickleError::UnknownCall {
            offset: 2,
            module: "mine.settings".to_owned(),
            name: "load".to_owned(),
        };
        assert_eq!(error(&called), unknown);
        let listed = pickle::globals(&called, 0, &Limits::default());
        assert_eq!(listed.uses[0].verdict, Verdict::Refused);
    }
    let listed = pickle::globals(&made, 0, &Limits::default());
    assert_eq!(listed.uses[0].verdict, Verdict::Opaque);
}

#[test]
fn names_are_shown_escaped_and_cut() {
    let long = "x".repeat(300);
    let PickleError::ForbiddenGlobal { module, name, .. } =
        error(&pickle(&[&global("os\x1b[31m.x", &format!("a.{long}"))]))
    else {
        panic!("another error");
    };
    assert_eq!(module, "os\\u{1b}[31m.x");
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
        .map(|found| (&*found.module, &*found.name, found.verdict))
        .collect();
    let expected = [
        ("os", "system", Verdict::Refused),
        ("copyreg extension", "7", Verdict::Refused),
        ("builtins", "eval", Verdict::Refused),
        ("builtins", "eval", Verdict::Refused),
        ("numpy", "dtype", Verdict::Allowed),
    ];
    assert_eq!((names.as_slice(), listed.stopped), (&expected[..], None));

    let cut = pickle::globals(&file[..file.len() - 5], 0, &Limits::default());
    assert_eq!(cut.uses.len(), 4);
    assert!(matches!(cut.stopped, Some(PickleError::Truncated { .. })));
}
