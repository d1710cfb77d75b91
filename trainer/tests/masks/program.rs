//! The program, and the folders it works on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use detcon_core::image::{ImageLimits, decode_stored};
use detcon_core::segment::SegmentMap;
use detcon_data::sample::Sample;
use detcon_data::shards::{self, OnCorrupt, SampleReader, Split};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn golden() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        PathBuf::from,
    )
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures");
    fs::read(folder.join(name)).unwrap()
}

/// The golden photographs with an ending, by name.
pub(crate) fn photographs(ending: &str) -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(golden().join("images")).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    let photographs: BTreeMap<_, _> = paths
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect();
    assert!(!photographs.is_empty());
    photographs
}

/// A folder of files, made with the folders that their names lead to.
pub(crate) fn folder<'a, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (&'a str, B)>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

pub(crate) fn command(input: &Path, output: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    command.arg("masks").arg("--input").arg(input);
    command.arg("--output").arg(output).args(arguments);
    command
}

/// Runs the program, which must exit with `code`.
pub(crate) fn run(input: &Path, output: &Path, arguments: &[&str], code: i32) -> Output {
    let done = command(input, output, arguments).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{error}");
    done
}

/// Runs the program and reads the summary that it prints.
pub(crate) fn summary(input: &Path, output: &Path, arguments: &[&str], code: i32) -> Value {
    serde_json::from_slice(&run(input, output, arguments, code).stdout).unwrap()
}

pub(crate) fn error(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Every sample of a split.
pub(crate) fn samples(output: &Path, split: Split) -> Vec<Sample> {
    let paths = shards::list(output, split).unwrap();
    let samples = SampleReader::new(paths, OnCorrupt::Fail);
    samples.collect::<Result<_, _>>().unwrap()
}

/// The shards of the train split by name.
pub(crate) fn shard_bytes(output: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = shards::list(output, Split::Train).unwrap();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path.file_name().unwrap().into(), bytes)
    };
    paths.into_iter().map(read).collect()
}

pub(crate) fn filename(sample: &Sample) -> String {
    String::from_utf8(sample.origin.filename.to_vec()).unwrap()
}

/// What a reader of the shard sees has the size of the mask.
pub(crate) fn assert_mask_fits(sample: &Sample) {
    let image = decode_stored(&sample.image, &ImageLimits::default()).unwrap();
    let size = |map: &SegmentMap| (map.width(), map.height());
    assert_eq!((image.width(), image.height()), size(&sample.mask));
}
