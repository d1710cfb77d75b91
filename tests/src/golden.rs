//! Reference data from the published code. It is found through `DETCON_GOLDEN_DIR` (default `tests/golden`), and
//! every case, size and seed is read from its files, so other data of the same form can be put in its place.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use detcon_core::digest::sha256;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// The folder of golden data.
#[must_use]
pub fn directory() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR")
        .map_or_else(|| workspace().join("tests/golden"), PathBuf::from)
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the workspace")
        .to_owned()
}

/// The files of a golden folder with one of the endings, sorted by name.
#[must_use]
pub fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let folder = directory().join(folder);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a folder's entry").path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|ending| endings.iter().any(|e| ending == *e))
    });
    paths.sort();
    assert!(
        !paths.is_empty(),
        "{} holds no {endings:?}",
        folder.display()
    );
    paths
}

/// A tensor of a golden file.
#[derive(Clone, Debug)]
pub struct Array<T> {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub values: Vec<T>,
}

/// A golden safetensors file.
#[derive(Debug)]
pub struct Tensors {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Tensors {
    /// Reads the file at `path`.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a golden file is well-formed");
        let metadata = header.metadata().clone().unwrap_or_default();
        Self {
            path: path.to_owned(),
            bytes,
            metadata,
        }
    }

    /// Names of all tensors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .parsed()
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    /// An entry of the metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> &str {
        self.metadata
            .get(key)
            .unwrap_or_else(|| panic!("{} says no {key}", self.path.display()))
    }

    /// A float32 tensor, if the file has it.
    #[must_use]
    pub fn f32(&self, name: &str) -> Option<Array<f32>> {
        self.array(name, Dtype::F32, f32::from_le_bytes)
    }

    /// A uint8 tensor, if the file has it.
    #[must_use]
    pub fn u8(&self, name: &str) -> Option<Array<u8>> {
        self.array(name, Dtype::U8, |[byte]| byte)
    }

    /// An int32 tensor, if the file has it.
    #[must_use]
    pub fn i32(&self, name: &str) -> Option<Array<i32>> {
        self.array(name, Dtype::I32, i32::from_le_bytes)
    }

    /// A float64 tensor, if the file has it.
    #[must_use]
    pub fn f64(&self, name: &str) -> Option<Array<f64>> {
        self.array(name, Dtype::F64, f64::from_le_bytes)
    }

    /// An int64 tensor, if the file has it.
    #[must_use]
    pub fn i64(&self, name: &str) -> Option<Array<i64>> {
        self.array(name, Dtype::I64, i64::from_le_bytes)
    }

    fn parsed(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a golden file is well-formed")
    }

    fn array<T, const N: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        value: impl Fn([u8; N]) -> T,
    ) -> Option<Array<T>> {
        let parsed = self.parsed();
        let view = parsed.tensor(name).ok()?;
        assert_eq!(view.dtype(), dtype, "{name} in {}", self.path.display());
        let (chunks, _) = view.data().as_chunks();
        Some(Array {
            shape: view.shape().to_vec(),
            values: chunks.iter().map(|chunk| value(*chunk)).collect(),
        })
    }
}

/// A network's golden outputs.
#[derive(Debug)]
pub struct Encoder {
    /// As `make_checkpoint.py` calls it.
    pub arch: String,
    /// Seed of the weights.
    pub seed: u64,
    /// Inputs and outputs.
    pub cases: Vec<EncoderCase>,
}

/// One batch of images and what the published code makes of it.
#[derive(Debug)]
pub struct EncoderCase {
    /// uint8 `[N, H, W, 3]`.
    pub images: Array<u8>,
    /// Expected outputs by name: `embedding`, `c5`, and for some networks `c2` … `c4`.
    pub outputs: BTreeMap<String, Array<f32>>,
}

/// Every network of `encoder/`, but for the photographs.
#[must_use]
pub fn encoders() -> Vec<Encoder> {
    let paths = files("encoder", &["safetensors"]);
    paths
        .iter()
        .filter(|path| !path.ends_with("photos.safetensors"))
        .map(|path| encoder(path))
        .collect()
}

fn encoder(path: &Path) -> Encoder {
    let file = Tensors::open(path);
    let mut cases: BTreeMap<usize, EncoderCase> = BTreeMap::new();
    for name in file.names() {
        let (case, what) = name.split_once('.').expect("tensors are called CASE.WHAT");
        let case = case.parse().expect("cases are numbered");
        let images = || {
            file.u8(&format!("{case}.image"))
                .expect("every case has its images")
        };
        let entry = cases.entry(case).or_insert_with(|| EncoderCase {
            images: images(),
            outputs: BTreeMap::new(),
        });
        if what != "image" {
            entry.outputs.insert(
                what.to_owned(),
                file.f32(&name).expect("outputs are float32"),
            );
        }
    }
    let seed = file.metadata("seed").parse().expect("a seed is a number");
    Encoder {
        arch: file.metadata("arch").to_owned(),
        seed,
        cases: cases.into_values().collect(),
    }
}

/// Every network of `torch/`: what torchvision computes.
#[must_use]
pub fn torch_networks() -> Vec<Encoder> {
    let paths = files("torch", &["safetensors"]);
    paths.iter().map(|path| torch_network(path)).collect()
}

fn torch_network(path: &Path) -> Encoder {
    let file = Tensors::open(path);
    let names = file.names().into_iter();
    let cases = names.filter_map(|name| name.strip_suffix(".images").map(str::to_owned));
    let case = |case: String| {
        let output = |what: &str| Some((what.to_owned(), file.f32(&format!("{case}.{what}"))?));
        let mut outputs: BTreeMap<_, _> = ["embedding", "c5"]
            .iter()
            .filter_map(|what| output(what))
            .collect();
        let embedding = outputs["embedding"].values.clone();
        if let Some(c5) = outputs.get_mut("c5") {
            planes_first(c5, &embedding);
        }
        EncoderCase {
            images: file
                .u8(&format!("{case}.images"))
                .expect("a case has images"),
            outputs,
        }
    };
    Encoder {
        arch: file.metadata("arch").to_owned(),
        seed: file.metadata("seed").parse().expect("a seed is a number"),
        cases: cases.map(case).collect(),
    }
}

/// Brings maps to the order that their shape `[N, C, h, w]` says. Some were saved as torch had them in memory, channels
/// last: those whose means over cells are not the embedding until they are read so.
fn planes_first(maps: &mut Array<f32>, embedding: &[f32]) {
    let &[images, channels, height, width] = maps.shape.as_slice() else {
        panic!("maps of shape {:?}", maps.shape)
    };
    let area = height * width;
    #[expect(clippy::cast_precision_loss, reason = "maps have few cells")]
    let means = |values: &[f32]| -> Vec<f32> {
        let planes = values.chunks_exact(area);
        planes
            .map(|plane| plane.iter().sum::<f32>() / area as f32)
            .collect()
    };
    if largest_error(&means(&maps.values), embedding) <= 1e-4 {
        return;
    }
    let stored = |image: usize, channel: usize, cell: usize| {
        maps.values[(image * area + cell) * channels + channel]
    };
    let all = (0..images).flat_map(|image| (0..channels).map(move |channel| (image, channel)));
    let values: Vec<f32> = all
        .flat_map(|(image, channel)| (0..area).map(move |cell| (image, channel, cell)))
        .map(|(image, channel, cell)| stored(image, channel, cell))
        .collect();
    assert!(
        largest_error(&means(&values), embedding) <= 1e-4,
        "maps that are pooled to another embedding"
    );
    maps.values = values;
}

/// A state dict written by `torch/`'s generator. Made once and kept below `target/`.
#[must_use]
pub fn torch_checkpoint(arch: &str, seed: u64) -> PathBuf {
    let script = workspace().join("tests/python/dump_torch_checkpoint.py");
    let golden = directory();
    let golden = golden.to_str().expect("paths are UTF-8");
    let seed = seed.to_string();
    let arguments = ["--golden", golden, "--arch", arch, "--seed", &seed];
    generated(
        &script,
        &format!("{arch}.{seed}.torch.safetensors"),
        &arguments,
    )
}

/// A checkpoint written by the golden generator: `tree` is its layout. Made once and kept below `target/`.
#[must_use]
pub fn checkpoint(arch: &str, seed: u64, tree: &str) -> PathBuf {
    let script = directory().join("make_checkpoint.py");
    let file = format!("{arch}.{seed}.{}.npy", tree.replace(',', "-"));
    generated(
        &script,
        &file,
        &["--arch", arch, "--seed", &seed.to_string(), "--tree", tree],
    )
}

/// The same weights as safetensors, written without a pickle: tensors called `MODULE/NAME`.
#[must_use]
pub fn generator_tensors(arch: &str, seed: u64) -> Tensors {
    let script = workspace().join("tests/python/dump_checkpoint.py");
    let golden = directory();
    let golden = golden.to_str().expect("paths are UTF-8");
    let file = format!("{arch}.{seed}.safetensors");
    Tensors::open(&generated(
        &script,
        &file,
        &[
            "--golden",
            golden,
            "--arch",
            arch,
            "--seed",
            &seed.to_string(),
        ],
    ))
}

/// Runs a script that writes the file given with `--out`, unless an earlier run of the same script did.
fn generated(script: &Path, file: &str, arguments: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    let _guard = ONE_AT_A_TIME.lock().expect("no generator panicked");
    let sources = [
        fs::read(script).expect("the script is there"),
        directory().to_string_lossy().as_bytes().to_vec(),
    ];
    let folder = workspace()
        .join("target/test-data")
        .join(&sha256(&sources.concat())[..16]);
    fs::create_dir_all(&folder).expect("target/ can be written");
    let place = folder.join(file);
    if !place.exists() {
        let partial = folder.join(format!("partial.{}.{file}", std::process::id()));
        let python = Command::new("python3")
            .arg(script)
            .args(arguments)
            .arg("--out")
            .arg(&partial)
            .env("PYTHONPATH", workspace().join(".deps/python"))
            .output()
            .expect("python3 starts");
        let errors = String::from_utf8_lossy(&python.stderr);
        assert!(
            python.status.success(),
            "{} failed (make test fetches NumPy): {errors}",
            script.display()
        );
        fs::rename(&partial, &place).expect("target/ can be written");
    }
    place
}

/// Largest difference, as a share of the largest expected magnitude.
#[must_use]
pub fn largest_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "numbers of values");
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let worse = |most: f32, error: f32| {
        if most.is_nan() || error <= most {
            most
        } else {
            error
        }
    };
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / largest)
        .fold(0.0, worse)
}

/// The length of the difference, as a share of the expected vector's length.
#[must_use]
pub fn l2_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "numbers of values");
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let difference = norm(
        &mut found
            .iter()
            .zip(expected)
            .map(|(&a, &b)| f64::from(a) - f64::from(b)),
    );
    difference / norm(&mut expected.iter().map(|&b| f64::from(b)))
}
