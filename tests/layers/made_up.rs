//! The checks themselves, on small sources that are made up: what must fail fails, with both names and the place.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::order::{Exception, Layers};
use crate::{crates, rooms};

/// The order of most of the made-up crates.
const ORDER: &str = "high middle low";

/// A workspace of these files, each a path and a text.
fn workspace(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let package = "[package]\nname = \"made-up\"\n";
    for (path, text) in [("one/Cargo.toml", package)].iter().chain(files) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("files lie in folders")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn check(files: &[(&str, &str)], layers: &Layers<'_>) -> Vec<String> {
    rooms::faults(workspace(files).path(), layers)
}

/// The faults of a crate of three modules, the lowest of which has this text.
fn low(text: &str) -> Vec<String> {
    let files = [
        (
            "one/src/lib.rs",
            "mod high; mod low; mod middle; pub use high::High; struct Own;",
        ),
        (
            "one/src/high.rs",
            "pub struct High; pub mod inner { pub struct Deep; }",
        ),
        ("one/src/middle.rs", "pub use crate::low::Low;"),
        ("one/src/low.rs", text),
    ];
    let layers = Layers {
        of: "one/src",
        names: ORDER,
        exceptions: &[],
    };
    check(&files, &layers)
}

fn upward(line: usize, above: &str) -> Vec<String> {
    let place = format!("one/src/low.rs:{line}");
    vec![format!(
        "{place}: `low` uses `{above}`, which stands above it in one/src"
    )]
}

#[test]
fn imports_downwards_are_no_fault() {
    let files = [
        ("one/src/lib.rs", "mod high; mod low; pub use high::High;"),
        (
            "one/src/main.rs",
            "mod top; use made_up::High; fn main() { top::run(); }",
        ),
        (
            "one/src/top.rs",
            "use made_up::High; use crate::top::inner::run; mod inner { pub fn run() {} }",
        ),
        (
            "one/src/high.rs",
            "use crate::low::{self, Low}; use super::low::Low as L; use std::fs::*; mod part;",
        ),
        (
            "one/src/high/part.rs",
            "use super::L; use super::super::low; use crate::high::low as l; use self::x as y;",
        ),
        (
            "one/src/low.rs",
            "pub struct Low; impl Low { fn new() -> Self { self::make() } }",
        ),
    ];
    let layers = Layers {
        of: "one/src",
        names: "top high low",
        exceptions: &[],
    };
    assert_eq!(check(&files, &layers), Vec::<String>::new());
}

/// Texts of a module, each of which names `high`.
const WAYS: &[&str] = &[
    "use crate::high::High;",
    "use super::high::High;",
    "pub use crate::high::High;",
    "pub(crate) use super::high;",
    "use crate::high as other;",
    "use crate::{high::High};",
    "use std::fs; use crate::{low::{self, Own}, high::{inner::Deep}};",
    "use super::High;",
    "use made_up::high::High;",
    "use made_up::High;",
    "use crate::r#high::High;",
    "const A: usize = crate::high::A;",
    "fn f() { super::high::f() }",
    "fn f() { use crate::high::High; }",
    "fn f(high: &crate::high::High) {}",
    "fn f<T: crate::high::Trait>() {}",
    "impl crate::high::Trait for () {}",
    "struct S { of: Vec<Option<super::high::High>> }",
    "fn f() { println!(\"{}\", crate::high::name()); }",
    "fn f() { vec![[1, super::high::A]]; }",
    "macro_rules! m { () => { $crate::high::name() }; }",
    "macro_rules! m { () => { use crate::{low, high}; }; }",
    "#[serde(with = \"crate::high::text\")] struct S;",
    "#[body(of = crate::high::High)] struct S;",
    "struct S { #[serde(default = \"super::high::f\")] a: u8 }",
    "mod inner { use super::super::high::High; }",
    "mod inner { mod inmost { fn f() { crate::high::f() } } }",
    "fn f() { mod inner { use super::super::high; } }",
    "#[cfg(feature = \"x\")] use crate::high::High;",
    "#[cfg(any(test, feature = \"x\"))] use crate::high::High;",
    "#[cfg(not(test))] use crate::high::High;",
    "extern \"C\" { fn f(of: crate::high::High); }",
    "type T = <crate::high::High as Iterator>::Item;",
    "type T = dyn Fn(crate::high::High);",
    "fn f() { match 1 { crate::high::A => (), _ => () } }",
];

#[test]
fn every_way_to_name_what_stands_above_is_seen() {
    for text in WAYS {
        assert_eq!(low(text), upward(1, "high"), "{text}");
    }
}

#[test]
fn a_fault_names_its_line() {
    let text = "use std::fs;\n\nuse crate::{\n    low::Low,\n    high::High,\n};\n";
    assert_eq!(low(text), upward(5, "high"));
}

#[test]
fn what_comes_through_a_module_above_comes_from_above() {
    assert_eq!(low("use crate::middle::Low as Other;"), upward(1, "middle"));
}

#[test]
fn what_the_folder_itself_holds_stands_above_all() {
    let fault = "one/src/low.rs:1: `low` uses what one/src/lib.rs itself holds";
    assert_eq!(low("use crate::Own;"), [fault]);
    assert_eq!(low("fn f() { super::Own; }"), [fault]);
}

#[test]
fn a_star_hides_what_is_used() {
    let fault = "one/src/low.rs:1: `low` imports `*`: name what it uses";
    assert_eq!(low("use super::*;"), [fault]);
    assert_eq!(
        low("use crate::high::*;"),
        [&upward(1, "high")[..], &[fault.to_owned()]].concat()
    );
}

#[test]
fn tests_comments_and_visibility_are_exempt() {
    for text in [
        "#[cfg(test)] mod tests { use crate::high::High; use super::*; }",
        "#[cfg(test)] mod tests;",
        "#[cfg(all(test, unix))] use crate::high::High;",
        "#[cfg(test)] fn f() { crate::high::f() }",
        "struct S; impl S { #[cfg(test)] fn f() { crate::high::f() } }",
        "#[cfg(test)] impl crate::high::Trait for () {}",
        "fn f() { #[cfg(test)] use crate::high::High; }",
        "/// [`crate::high::High`]\nstruct S;",
        "//! crate::high::High\n// crate::high::High",
        "pub(in crate::low) struct S { pub(super) a: u8 }",
        "use high::High; fn f() { high::f(); ::high::f(); std::high::f() }",
        "fn f() { println!(\"see crate::high::High\"); }",
    ] {
        assert_eq!(low(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_circle_is_a_fault_in_either_order() {
    let files = [
        ("one/src/lib.rs", "mod a; mod b;"),
        ("one/src/a.rs", "use crate::b::B;"),
        ("one/src/b.rs", "use crate::a::A;"),
    ];
    for order in [["a", "b"], ["b", "a"]] {
        let layers = Layers {
            of: "one/src",
            names: &order.join(" "),
            exceptions: &[],
        };
        let [above, below] = order;
        let fault = format!(
            "one/src/{below}.rs:1: `{below}` uses `{above}`, which stands above it in one/src"
        );
        assert_eq!(check(&files, &layers), [fault]);
    }
}

#[test]
fn a_folder_within_has_an_order_of_its_own() {
    let files = [
        ("one/src/lib.rs", "mod room;"),
        (
            "one/src/room.rs",
            "mod above; mod below; use above::A; pub struct Held;",
        ),
        ("one/src/room/above.rs", "use super::below::B; mod part;"),
        (
            "one/src/room/above/part.rs",
            "use crate::room::below::B; use super::A;",
        ),
        ("one/src/room/below.rs", "use super::A; mod part;"),
        (
            "one/src/room/below/part.rs",
            "use super::super::above; use crate::room::Held;",
        ),
    ];
    let layers = Layers {
        of: "one/src/room",
        names: "above below",
        exceptions: &[],
    };
    let part = "one/src/room/below/part.rs:1: `below` uses";
    let above = "`above`, which stands above it in one/src/room";
    let expected = [
        format!("one/src/room/below.rs:1: `below` uses {above}"),
        format!("{part} {above}"),
        format!("{part} what one/src/room.rs itself holds"),
    ];
    assert_eq!(check(&files, &layers), expected);
}

#[test]
fn the_list_and_the_modules_are_the_same() {
    let files = [
        ("one/src/lib.rs", "mod new; mod old; mod missing;"),
        ("one/src/new.rs", ""),
        ("one/src/old.rs", ""),
    ];
    let layers = Layers {
        of: "one/src",
        names: "old gone old",
        exceptions: &[],
    };
    let expected = [
        "one/src/lib.rs:1: `missing` has no file one/src/missing.rs",
        "one/src: `new` is in no list: say where it stands",
        "one/src: `gone` is listed and gone",
        "one/src: `old` is listed twice",
    ];
    assert_eq!(check(&files, &layers), expected);
}

#[test]
fn an_exception_holds_for_its_two_modules_and_only_while_it_is_needed() {
    let files = [
        ("one/src/lib.rs", "mod high; mod middle; mod low;"),
        ("one/src/high.rs", ""),
        ("one/src/middle.rs", "use crate::high::High;"),
        ("one/src/low.rs", "use crate::high::High;"),
    ];
    let exception = |user, uses| Exception {
        user,
        uses,
        reason: "it was there first",
    };
    let faults = |exceptions: &[Exception<'_>]| {
        let layers = Layers {
            of: "one/src",
            names: ORDER,
            exceptions,
        };
        check(&files, &layers)
    };
    let middle = "one/src/middle.rs:1: `middle` uses `high`, which stands above it in one/src";
    assert_eq!(faults(&[exception("low", "high")]), [middle]);
    let idle = "one/src: `low` does not use `middle` any more (it was there first)";
    let three = [("low", "high"), ("middle", "high"), ("low", "middle")];
    assert_eq!(
        faults(&three.map(|(user, uses)| exception(user, uses))),
        [idle]
    );
}

#[test]
fn crates_are_held_to_their_order() {
    let depends =
        |name: &str, dependencies: &str| format!("[package]\nname = \"x-{name}\"\n{dependencies}");
    let low = depends(
        "low",
        "[dependencies]\nserde = \"1\"\n[dev-dependencies]\nx-high.workspace = true\n\
         [target.'cfg(unix)'.build-dependencies]\nother = { package = \"x-middle\", path = \"..\" }\n",
    );
    let folder = workspace(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"low\", \"high\", \"middle\", \"new\"]\n",
        ),
        (
            "high/Cargo.toml",
            &depends("high", "[dependencies]\nx-low.workspace = true\n"),
        ),
        (
            "middle/Cargo.toml",
            &depends("middle", "[dependencies]\nx-low = { path = \"../low\" }\n"),
        ),
        ("low/Cargo.toml", &low),
        ("new/Cargo.toml", &depends("new", "")),
    ]);
    let order = |names| Layers {
        of: "Cargo.toml",
        names,
        exceptions: &[],
    };
    let above = "which stands above it in Cargo.toml";
    let expected = [
        "Cargo.toml: `new` is in no list: say where it stands".to_owned(),
        "Cargo.toml: `gone` is listed and gone".to_owned(),
        format!("low/Cargo.toml:6: `low` uses `high`, {above}"),
        format!("low/Cargo.toml:8: `low` uses `middle`, {above}"),
    ];
    let faults = crates::faults(folder.path(), &order("high middle gone low"));
    assert_eq!(faults, expected);
    let sound = workspace(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"low\", \"high\"]\n"),
        (
            "high/Cargo.toml",
            &depends("high", "[dependencies]\nx-low.workspace = true\n"),
        ),
        ("low/Cargo.toml", &depends("low", "")),
    ]);
    assert_eq!(
        crates::faults(sound.path(), &order("high low")),
        Vec::<String>::new()
    );
    assert_eq!(crates::name(sound.path(), Path::new("low")), "x-low");
}
