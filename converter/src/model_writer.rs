//! Writes a model directory: weights, heads, graph, ledger, timm's configuration, self-check, manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use detcon_core::arch::ResNetSpec;
use detcon_core::checkpoint::{Checkpoint, FileError, Ledger, Tensors, tensors_to_file};
use detcon_core::digest::{sha256, sha256_file};
use detcon_core::files::{Existing, StageError, StagedDirectory};
use detcon_core::model::{
    FileEntry, Manifest, ModelName, NameError, Precision, SelfCheckEntry, Source, Training, file,
};
use detcon_core::preprocess::{Preprocess, PreprocessError};

use crate::onnx::{OnnxError, write_onnx};
use crate::self_check::{self, SelfCheckError};
use crate::timm;

/// Written at a time.
const BUFFER: usize = 1 << 20;
/// Side of the images that upstream trains and evaluates at.
const UPSTREAM_SIZE: u32 = 224;

/// Why a model directory was not written. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The directory's name cannot be a model's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The directory could not be made.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The weights could not be written.
    #[error(transparent)]
    Tensors(#[from] FileError),
    /// The graph could not be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The network gives nothing to check it by.
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
    /// The images that it is made for cannot be made.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// A file could not be written.
    #[error("{name} could not be written: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A thread that digests a file ended early.
    #[error("a file's digest could not be made: a thread of this program failed")]
    Panicked,
    /// JSON could not be made.
    #[error("{name} could not be written: {source}")]
    Json {
        /// The file.
        name: &'static str,
        /// What the writer said.
        source: serde_json::Error,
    },
}

/// Everything that a model directory is made of.
#[derive(Debug)]
pub struct Model {
    /// The backbone.
    pub checkpoint: Checkpoint,
    /// Projector, predictor and classifier; may be empty.
    pub heads: Tensors,
    /// The account of the conversion; none for an untrained model.
    pub ledger: Option<Ledger>,
    /// Where the weights came from.
    pub source: Source,
    /// The run that trained the weights, where this project did.
    pub training: Option<Training>,
    /// SPDX identifier of the weights' licence, where it is known.
    pub license: Option<String>,
}

impl Model {
    /// Side of the images that it is made for: those that it was trained on.
    fn image_size(&self) -> u32 {
        let training = self.training.as_ref();
        training.map_or(UPSTREAM_SIZE, |training| training.image_size)
    }
}

/// A model directory being made.
#[derive(Debug)]
pub struct ModelWriter {
    name: ModelName,
    staged: StagedDirectory,
    files: BTreeMap<String, FileEntry>,
}

impl ModelWriter {
    /// Starts one at `place`; the last part of the path is the model's name.
    pub fn new(place: &Path, existing: Existing) -> Result<Self, WriteError> {
        let name = place
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = ModelName::try_from(name)?;
        Ok(Self {
            name,
            staged: StagedDirectory::new(place, existing)?,
            files: BTreeMap::new(),
        })
    }

    /// A directory for the time of the conversion, on the file system that the model will be on.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.staged.path()
    }

    /// Writes every file and puts the directory in its place.
    pub fn finish(mut self, model: &Model) -> Result<(), WriteError> {
        let spec = model.checkpoint.spec();
        let settling = self.large_files(model)?;
        let ledger_sha256 = match &model.ledger {
            Some(ledger) => Some(self.file(file::LEDGER, &json(file::LEDGER, ledger)?)?),
            None => None,
        };
        if let Some(config) = timm::config(spec, model.image_size(), model.license.as_deref()) {
            self.file(file::TIMM_CONFIG, &json(file::TIMM_CONFIG, &config)?)?;
        }
        let check = self_check::make(&model.checkpoint)?;
        self.file(
            file::SELF_CHECK,
            &check.to_bytes().map_err(FileError::from)?,
        )?;
        let self_check = SelfCheckEntry {
            file: file::SELF_CHECK.to_owned(),
            tolerance: check.tolerance,
        };
        for file in settling {
            let (name, entry) = file.join().map_err(|_| WriteError::Panicked)??;
            self.files.insert(name.to_owned(), entry);
        }
        let manifest = self.manifest(model, spec, ledger_sha256, self_check)?;
        let manifest = manifest.to_bytes().map_err(|source| WriteError::Json {
            name: file::MANIFEST,
            source,
        })?;
        self.file(file::MANIFEST, &manifest)?;
        Ok(self.staged.commit()?)
    }

    /// Writes weights and graph tensor by tensor. Each is digested and brought to the disk while the next is written.
    fn large_files(&mut self, model: &Model) -> Result<Vec<Settling>, WriteError> {
        let backbone = self.staged.path().join(file::BACKBONE);
        model.checkpoint.to_file(&backbone)?;
        let mut settling = vec![settle(file::BACKBONE, backbone)];
        if !model.heads.is_empty() {
            let heads = self.staged.path().join(file::HEADS);
            tensors_to_file(&model.heads, &heads)?;
            settling.push(settle(file::HEADS, heads));
        }
        let onnx = self.staged.path().join(file::ONNX);
        let io = |source| WriteError::Io {
            name: file::ONNX.to_owned(),
            source,
        };
        let mut output = BufWriter::with_capacity(BUFFER, File::create(&onnx).map_err(io)?);
        let stages = write_onnx(&model.checkpoint, &mut output)?;
        output.flush().map_err(io)?;
        settling.push(settle(file::ONNX, onnx));
        self.file(file::STAGES_ONNX, &stages)?;
        Ok(settling)
    }

    fn manifest(
        &self,
        model: &Model,
        spec: ResNetSpec,
        ledger_sha256: Option<String>,
        self_check: SelfCheckEntry,
    ) -> Result<Manifest, PreprocessError> {
        Ok(Manifest {
            format_version: Manifest::FORMAT_VERSION,
            name: self.name.clone(),
            spec,
            embedding_size: spec.embedding_size(),
            preprocess: Preprocess::center_crop(model.image_size())?,
            precisions: vec![Precision::Fp32],
            quality: BTreeMap::new(),
            segmentation_heads: BTreeMap::new(),
            files: self.files.clone(),
            source: model.source.clone(),
            training: model.training.clone(),
            ledger_sha256,
            self_check,
            pretrained: model.ledger.is_some(),
            license: model.license.clone(),
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        })
    }

    /// Writes a file and gives its digest.
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<String, WriteError> {
        let io = |source| WriteError::Io {
            name: name.to_owned(),
            source,
        };
        fs::write(self.staged.path().join(name), bytes).map_err(io)?;
        let sha256 = sha256(bytes);
        self.files.insert(
            name.to_owned(),
            FileEntry {
                bytes: bytes.len() as u64,
                sha256: sha256.clone(),
            },
        );
        Ok(sha256)
    }
}

/// A file that is being digested and brought to the disk.
type Settling = JoinHandle<Result<(&'static str, FileEntry), WriteError>>;

fn settle(name: &'static str, path: PathBuf) -> Settling {
    std::thread::spawn(move || {
        let io = |source| WriteError::Io {
            name: name.to_owned(),
            source,
        };
        let (sha256, bytes) = sha256_file(&path).map_err(io)?;
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(io)?;
        Ok((name, FileEntry { bytes, sha256 }))
    })
}

fn json(name: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>, WriteError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|source| WriteError::Json { name, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
