//! Files that would take more than they should have, or one thing for another.

use std::io::Write as _;
use std::time::Instant;

use detcon_converter::import::ImportOptions;

use super::network::{Tensor, tiny};
use super::pickled::{Item, Member, archive, dict, text, zip_of};
use super::{Case, named};

/// The longest that a refusal may take, with room for a machine at work.
const SECONDS: u64 = 20;

fn weights(seed: usize, prefix: &str) -> Vec<(String, Item)> {
    let pairs = tiny(seed).into_iter();
    pairs
        .map(|(name, tensor)| (format!("{prefix}{name}"), Item::Tensor(tensor)))
        .collect()
}

/// The stem and the first block of a network by name, and nothing of one.
fn names_of_a_network(prefix: &str) -> Vec<(String, Item)> {
    ["conv1.weight", "layer1.0.conv1.weight"]
        .map(|name| (format!("{prefix}{name}"), Item::Tensor(Tensor::of(&[1], 0))))
        .into()
}

#[test]
fn ten_thousand_candidates_are_counted_and_asked_about() {
    let numbers = || (0..10_000).map(|number| format!("n{number}"));
    let one = numbers().flat_map(|name| names_of_a_network(&format!("{name}.")));
    let each = numbers().map(|name| (name, Item::Dict(names_of_a_network(""))));
    // Every prefix holds all that come after it.
    let inside = (0..300).flat_map(|depth| names_of_a_network(&"a.".repeat(depth)));
    for (item, count) in [
        (Item::Dict(one.collect()), "10000 networks"),
        (Item::Dict(each.collect()), "10000 networks"),
        (Item::Dict(inside.collect()), "300 networks"),
    ] {
        let case = Case::new("many.pth", &archive(&item));
        let start = Instant::now();
        let error = case.refused(&ImportOptions::default());
        assert!(
            error.contains(count) && error.contains("--strip-prefix"),
            "{error}"
        );
        assert!(error.len() < 1000, "{error}");
        assert!(start.elapsed().as_secs() < SECONDS);
    }
}

#[test]
fn of_ten_thousand_candidates_one_is_taken_by_its_name() {
    let mut pairs: Vec<_> = (0..10_000)
        .flat_map(|number| names_of_a_network(&format!("n{number}.")))
        .collect();
    pairs.extend(weights(1, "this.one."));
    let case = Case::new("many.pth", &archive(&Item::Dict(pairs)));
    case.import(&named("this.one")).unwrap();
}

/// A mapping that holds the mapping it is in.
#[test]
fn mappings_that_hold_each_other_are_refused() {
    let inner = [
        &b"}q\x01("[..],
        &text("a"),
        b"}q\x02(",
        &text("b"),
        b"h\x01uu",
    ]
    .concat();
    let item = dict([
        ("state_dict", Item::Dict(weights(1, ""))),
        ("loop", Item::Raw(inner)),
    ]);
    let error = Case::new("loop.pth", &archive(&item)).refused(&ImportOptions::default());
    assert!(error.contains("holds itself"), "{error}");
}

#[test]
fn names_that_differ_by_case_are_different_names() {
    // A decoy whose names are the network's but for their case is none, and is set aside whole.
    let decoy = tiny(2)
        .into_iter()
        .map(|(name, tensor)| (name.to_uppercase(), Item::Tensor(tensor)));
    let both = weights(1, "").into_iter().chain(decoy).collect();
    let case = Case::new("case.pth", &archive(&Item::Dict(both)));
    case.import(&ImportOptions::default()).unwrap();
    let plain = Case::new("plain.pth", &archive(&Item::Dict(weights(1, ""))));
    plain.import(&ImportOptions::default()).unwrap();
    assert_eq!(case.weights(), plain.weights());
    // Two networks under keys that differ by case are two: nobody's usual choice, and each is had by its name.
    let item = || {
        dict([
            ("Teacher", Item::Dict(weights(2, ""))),
            ("teacher", Item::Dict(weights(1, ""))),
        ])
    };
    let error = Case::new("two.pth", &archive(&item())).refused(&ImportOptions::default());
    assert!(
        error.contains("\"Teacher\"") && error.contains("\"teacher\""),
        "{error}"
    );
    let lower = Case::new("two.pth", &archive(&item()));
    lower.import(&named("teacher")).unwrap();
    assert_eq!(lower.weights(), plain.weights());
}

/// A megabyte of nothing, compressed.
fn nothing(megabytes: usize) -> Vec<u8> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..megabytes {
        writer.write_all(&zeros).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn archives_that_decompress_without_end_are_refused_before_they_do() {
    let bomb = nothing(256);
    let member = |name, length| Member {
        name,
        method: 8,
        length,
        bytes: &bomb,
    };
    for (members, told) in [
        (
            vec![member("a.npy", 256 << 20)],
            "decompresses to more than",
        ),
        (
            vec![member("a.npy", 8 << 20), member("b.npy", 8 << 20)],
            "does not decompress to",
        ),
        // What the directory says is less than what comes.
        (
            vec![member("a.npy", 100)],
            "does not decompress to the 100 bytes",
        ),
        (
            vec![member("a.npy", (256 << 20) + 1)],
            "decompresses to more than",
        ),
    ] {
        let start = Instant::now();
        let error = Case::new("bomb.npz", &zip_of(&members)).refused(&ImportOptions::default());
        assert!(error.contains(told), "{error}");
        assert!(start.elapsed().as_secs() < SECONDS);
    }
}

#[test]
fn damaged_archives_of_arrays_are_refused_wherever_they_are_cut_or_changed() {
    let tensor = Tensor::of(&[4], 1);
    let npy = [
        &b"\x93NUMPY\x01\x00\x3b\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }\n"[..],
        &tensor.bytes(),
    ]
    .concat();
    let file = zip_of(&[Member {
        name: "a.npy",
        method: 0,
        length: npy.len(),
        bytes: &npy,
    }]);
    for length in 0..file.len() {
        Case::new("cut.npz", &file[..length]).refused(&ImportOptions::default());
    }
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 0x41;
        // Whatever it is now, it is no network.
        Case::new("changed.npz", &changed).refused(&ImportOptions::default());
    }
}

#[test]
fn a_tensor_that_a_network_would_compute_with_is_no_head() {
    for (name, told) in [
        ("layer5.0.conv1.weight", "layer5.0.conv1.weight"),
        ("conv2.weight", "conv2.weight"),
        ("layer1.0.attention.weight", "layer1.0.attention.weight"),
        ("layer1.0.se.fc1.weight", "squeeze-and-excitation"),
        ("layer1.1.conv1.weight", "no ResNet has"),
    ] {
        let mut pairs = weights(1, "module.");
        let tensor = Item::Tensor(Tensor::of(&[4, 4, 1, 1], 3));
        pairs.push((format!("module.{name}"), tensor));
        let case = Case::new("other.pth", &archive(&Item::Dict(pairs)));
        let error = case.refused(&ImportOptions::default());
        assert!(error.contains(told), "{name}: {error}");
    }
    // Another network's, elsewhere in the file, is none of this one's business.
    let mut pairs = weights(1, "backbone.");
    pairs.push((
        "critic.layer1.0.se.fc1.weight".to_owned(),
        Item::Tensor(Tensor::of(&[4, 4], 3)),
    ));
    let case = Case::new("beside.pth", &archive(&Item::Dict(pairs)));
    case.import(&ImportOptions::default()).unwrap();
}
