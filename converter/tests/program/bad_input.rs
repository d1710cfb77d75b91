//! Bad input to the program itself: whatever a file holds, `detcon-convert import` says in one line what is wrong and
//! what to do, leaves nothing behind, runs nothing, and stays within its memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{entries, golden};

/// Most memory that a refusal may take. The program is at 20 MiB before it has read anything.
const MEMORY_KIB: u64 = 200 << 10;

/// Wrong usage ends the program with this, anything else that is wrong with 1.
const USAGE: i64 = 2;

/// What is given to `import`, and what it says.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    flags: &'static [&'static str],
    code: i64,
    /// Parts of the message: what is wrong, and the next step last.
    says: &'static [&'static str],
}

const AGAIN: &str = "fetch or save the file again";
const INSPECT: &str = "detcon-convert inspect shows what is in the file";
const DO_NOT_LOAD: &str = "do not load it in Python either";
const NO_CHECKPOINT: &str = "no checkpoint comes near that";
const ONLY_DATA: &str = "only data constructors are allowed";

const fn case(name: &'static str, file: Vec<u8>, says: &'static [&'static str]) -> Case {
    Case {
        name,
        file,
        flags: &[],
        code: 1,
        says,
    }
}

/// A file of the tests that are for all crates.
fn shared(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The tiny network with something done to it, by `make_variant.py`.
fn variant(kind: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(kind);
    let done = Command::new("python3")
        .arg(shared("tests/python/make_variant.py"))
        .args(["--kind", kind, "--golden"])
        .arg(golden(".."))
        .arg("--out")
        .arg(&file)
        .env("PYTHONPATH", shared(".deps/python"))
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "make test fetches NumPy: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    fs::read(file).unwrap()
}

fn tiny() -> Vec<u8> {
    fs::read(golden("tiny.released.npy")).unwrap()
}

/// A file that is a checkpoint but for what was done to it.
fn damaged() -> Vec<Case> {
    let whole = tiny();
    let header = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, \
                   'shape': (1099511627776,), }      \n";
    vec![
        case(
            "empty",
            Vec::new(),
            &["an empty file", "fetch the checkpoint again"],
        ),
        case(
            "truncated",
            whole[..whole.len() / 2].to_vec(),
            &["cut off", AGAIN],
        ),
        case(
            "a truncated header",
            whole[..40].to_vec(),
            &["ends inside", AGAIN],
        ),
        case(
            "a wrong shape",
            variant("shape"),
            &["initial_conv/w", "[6, 7, 3, 64]", INSPECT],
        ),
        case(
            "missing and surplus tensors",
            variant("holes"),
            &[
                "2 parameters are missing: bn1.weight, layer1.0.conv1.weight",
                "2 tensors have no place in it",
                "conv_7/w",
                "decoder/linear/w",
                INSPECT,
            ],
        ),
        case(
            "no moving averages",
            variant("params"),
            &["moving averages", "--fresh-moving-averages"],
        ),
        case(
            "NaN",
            variant("nan"),
            &["initial_conv/w", "NaN", "before the training diverged"],
        ),
        case(
            "infinite",
            variant("inf"),
            &["initial_conv/w", "inf", "before the training diverged"],
        ),
        case(
            "devices that differ",
            variant("differing"),
            &["initial_conv/w", "devices", INSPECT],
        ),
        case(
            "no ResNet",
            variant("transformer"),
            &["no ResNet", "vit/~/block_0", INSPECT],
        ),
        case(
            "no known ResNet",
            variant("resnet77"),
            &["no ResNet", "res_net77", INSPECT],
        ),
        case(
            "an array of 4 TB",
            variant("huge"),
            &["the bytes of an array", NO_CHECKPOINT],
        ),
        case(
            "a plain array of 4 TB",
            header.to_vec(),
            &["plain array", AGAIN],
        ),
        case(
            "a web page",
            b"<!DOCTYPE html>".to_vec(),
            &["a web page", "again"],
        ),
        case(
            "text",
            b"hello".to_vec(),
            &["unknown kind", "a checkpoint is"],
        ),
    ]
}

/// `depth` lists, each in the one before it.
fn nested(depth: usize) -> Vec<u8> {
    [
        b"\x80\x04".to_vec(),
        vec![b']'; depth],
        vec![b'a'; depth - 1],
        b".".to_vec(),
    ]
    .concat()
}

/// Each list holds the one before it ten times: a billion values in some hundred bytes.
fn laughs() -> Vec<u8> {
    let mut bytes = b"\x80\x04]".to_vec();
    for level in 0..10 {
        bytes.extend([b'q', level, b'0', b']', b'(']);
        bytes.extend([b'h', level].repeat(10));
        bytes.push(b'e');
    }
    [bytes, b".".to_vec()].concat()
}

/// A memo entry for each of `entries` values.
fn memo(entries: u32) -> Vec<u8> {
    let mut bytes = b"\x80\x04N".to_vec();
    for entry in 0..entries {
        bytes.push(b'r');
        bytes.extend(entry.to_le_bytes());
    }
    [bytes, b".".to_vec()].concat()
}

/// Files that want more than they should have.
fn excessive() -> Vec<Case> {
    let text = [&b"\x80\x04\x8d"[..], &(1_u64 << 42).to_le_bytes(), b"abc."].concat();
    let safetensors = [&(1_u64 << 42).to_le_bytes()[..], b"{\"a\":1}"].concat();
    vec![
        case("deep nesting", nested(100_000), &["depth", NO_CHECKPOINT]),
        case(
            "opcodes without end",
            nested(1_500_000),
            &["opcodes", NO_CHECKPOINT],
        ),
        case(
            "values that multiply",
            laughs(),
            &["number of values", NO_CHECKPOINT],
        ),
        case(
            "a full memo",
            memo(1_100_000),
            &["memo entries", NO_CHECKPOINT],
        ),
        case(
            "a memo entry far away",
            b"\x80\x04Nr\xff\xff\xff\xffj\xff\xff\xff\xfe.".to_vec(),
            &["memo", AGAIN],
        ),
        case("text of 4 TB", text, &["cut off", AGAIN]),
        case(
            "safetensors of 4 TB",
            safetensors,
            &["unknown kind", "a checkpoint is"],
        ),
    ]
}

/// Files that want something run: `touch ran` in the directory where the program is.
fn hostile() -> Vec<Case> {
    let evil = fs::read(golden("evil.os_system.npy")).unwrap();
    let mut cases = vec![case("a golden one", evil, &[ONLY_DATA, DO_NOT_LOAD])];
    let written: [(&str, &[u8]); 8] = [
        ("REDUCE", b"cos\nsystem\n(S'touch ran'\ntR."),
        ("INST", b"(S'touch ran'\nios\nsystem\n."),
        ("OBJ", b"(cos\nsystem\nS'touch ran'\no."),
        (
            "STACK_GLOBAL",
            b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
        ),
        (
            "NEWOBJ",
            b"\x80\x02csubprocess\nPopen\nX\x09\x00\x00\x00touch ran\x85\x81.",
        ),
        (
            "eval",
            b"c__builtin__\neval\n(S'__import__(\"os\").system(\"touch ran\")'\ntR.",
        ),
        ("an extension", b"\x80\x02\x82\x01)R."),
        ("a list called", b"\x80\x02])R."),
    ];
    cases.extend(
        written
            .into_iter()
            .map(|(name, file)| case(name, file.to_vec(), &[ONLY_DATA, DO_NOT_LOAD])),
    );
    cases.push(case(
        "BUILD",
        b"\x80\x02]}b.".to_vec(),
        &["set the state", DO_NOT_LOAD],
    ));
    cases.push(case(
        "a persistent id",
        b"\x80\x02Pos.system\n.".to_vec(),
        &["outside the file", INSPECT],
    ));
    cases
}

fn usage() -> Vec<Case> {
    let whole = tiny();
    let flags: [(&[&str], &[&str]); 7] = [
        (&["--network", "both"], &["--network", "online, target"]),
        (&["--sha256", "12"], &["--sha256", "64 hexadecimal digits"]),
        (&["--precision", "int8"], &["--calibrate"]),
        (&["--precision", "int4"], &["--precision", "fp16, int8"]),
        (&["--precision", "fp16"], &["--held-out"]),
        (&["--unknown"], &["--unknown", "--help"]),
        (&["one", "more"], &["one", "--help"]),
    ];
    flags
        .into_iter()
        .map(|(flags, says)| Case {
            flags,
            code: USAGE,
            ..case("wrong usage", whole.clone(), says)
        })
        .collect()
}

/// What became of a run of the program.
struct Outcome {
    code: i64,
    errors: String,
    peak_kib: u64,
    seconds: f64,
}

/// Runs the program in `inside`, measured.
fn run(inside: &Path, measure: &[&str], arguments: &[&str]) -> Outcome {
    let done = Command::new("python3")
        .arg(shared("tests/python/measure.py"))
        .args(measure)
        .arg(env!("CARGO_BIN_EXE_detcon-convert"))
        .args(arguments)
        .current_dir(inside)
        .output()
        .unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    let last = printed.lines().last().unwrap_or_else(|| panic!("{errors}"));
    let report: Value = serde_json::from_str(last).unwrap();
    Outcome {
        code: report["code"].as_i64().unwrap(),
        errors,
        peak_kib: report["peak_kib"].as_u64().unwrap(),
        seconds: report["seconds"].as_f64().unwrap(),
    }
}

#[test]
fn every_bad_input_is_one_line_with_a_next_step_and_leaves_nothing() {
    let (mut peak_kib, mut seconds) = (0, 0.0_f64);
    for case in [damaged(), excessive(), hostile(), usage()]
        .into_iter()
        .flatten()
    {
        let folder = tempfile::tempdir().unwrap();
        let [inside, store] = ["inside", "store"].map(|name| folder.path().join(name));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&store).unwrap();
        let file = folder.path().join("checkpoint");
        fs::write(&file, &case.file).unwrap();
        let place = store.join("model");
        let arguments = [
            &["import", file.to_str().unwrap(), place.to_str().unwrap()],
            case.flags,
        ];
        let outcome = run(&inside, &[], &arguments.concat());
        let (name, errors) = (case.name, &outcome.errors);
        assert_eq!(outcome.code, case.code, "{name}: {errors}");
        for part in case.says {
            assert!(
                errors.contains(part),
                "{name}: {part:?} is not in: {errors}"
            );
        }
        assert_eq!(errors.lines().count(), 1, "{name}: {errors}");
        assert_eq!(entries(&store), [""; 0], "{name} left something");
        assert_eq!(entries(&inside), [""; 0], "{name} ran something");
        assert!(
            outcome.peak_kib < MEMORY_KIB,
            "{name} took {} KiB",
            outcome.peak_kib
        );
        peak_kib = peak_kib.max(outcome.peak_kib);
        seconds = seconds.max(outcome.seconds);
    }
    println!("at most {seconds:.2} s and {} MiB", peak_kib >> 10);
}

#[test]
fn an_output_that_exists_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("mine"), b"mine").unwrap();
    let file = golden("tiny.released.npy");
    let arguments = ["import", file.to_str().unwrap(), place.to_str().unwrap()];
    let outcome = run(folder.path(), &[], &arguments);
    assert_eq!(
        (outcome.code, outcome.errors.lines().count()),
        (1, 1),
        "{}",
        outcome.errors
    );
    assert!(outcome.errors.contains("--force"), "{}", outcome.errors);
    assert_eq!(fs::read(place.join("mine")).unwrap(), b"mine");
    assert_eq!(entries(folder.path()), ["model"]);
}

/// The weights alone are larger than this disk.
#[test]
fn a_full_disk_leaves_nothing() {
    let file = golden("tiny.released.npy");
    let size = fs::metadata(&file).unwrap().len();
    for share in [50, 2] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("model");
        let arguments = ["import", file.to_str().unwrap(), place.to_str().unwrap()];
        let largest = (size / share).to_string();
        let outcome = run(folder.path(), &["--largest-file", &largest], &arguments);
        assert_eq!(
            (outcome.code, outcome.errors.lines().count()),
            (1, 1),
            "{}",
            outcome.errors
        );
        assert!(
            outcome.errors.contains("free some space"),
            "{}",
            outcome.errors
        );
        assert_eq!(entries(folder.path()), [""; 0]);
    }
}
