//! Whether a model directory is what it says: digests, the ledger, and the ONNX graph against the weights.
//!
//! The graph is held to `model.safetensors` twice, neither time by way of the code that wrote it: run by ONNX
//! Runtime against the reference forward pass, and tensor by tensor against weights folded here, which names
//! the layer at fault.

mod graph;
mod ledger;
mod output;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use detcon_core::checkpoint::{Checkpoint, FileError};
use detcon_core::model::{ModelDirectory, ModelError, Precision, file};
use serde::Serialize;

pub use graph::GraphError;
pub use ledger::LedgerError;
pub use output::OutputReport;

use detcon_inference::{InferenceError, Runtime};

/// Why a model directory could not be verified, or is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file is not what the manifest says.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The weights are not the network's.
    #[error("{name}: {source}")]
    Tensors {
        /// The file.
        name: &'static str,
        /// What is wrong with it.
        source: FileError,
    },
    /// The account of the conversion does not fit the weights.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The graph cannot be read.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph cannot be run.
    #[error(transparent)]
    Runtime(#[from] InferenceError),
}

/// A place where the graph differs from the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The layer, as torchvision spells it, or the stage.
    pub layer: String,
    /// What differs, and how much.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.layer, self.detail)
    }
}

/// What was verified.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Files whose length and digest are the manifest's.
    pub files: usize,
    /// Parameters of the network, all there.
    pub parameters: usize,
    /// Source tensors that the ledger accounts for; none for an untrained model, which has no ledger.
    pub ledger: Option<usize>,
    /// Tensors of the graph that were compared with the weights.
    pub graph_tensors: usize,
    /// The graph's embedding against the reference forward pass's.
    pub output: OutputReport,
    /// Where the graph differs; empty where the model is right.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "model     {}, a {}", self.name, self.network)?;
        writeln!(out, "files     {} with the manifest's digests", self.files)?;
        match self.ledger {
            Some(sources) => writeln!(
                out,
                "ledger    {sources} source tensors, {} parameters, each once and with its digest",
                self.parameters
            )?,
            None => writeln!(out, "ledger    none: the model is untrained")?,
        }
        writeln!(
            out,
            "graph     {} tensors compared with the weights",
            self.graph_tensors
        )?;
        writeln!(out, "output    {}", self.output)?;
        for fault in &self.faults {
            writeln!(out, "FAULT     {fault}")?;
        }
        Ok(())
    }
}

/// Verifies the model directory at `path`; `library` is ONNX Runtime's.
pub fn verify(path: &Path, library: &Path) -> Result<Report, VerifyError> {
    let directory = ModelDirectory::open(path)?;
    let manifest = directory.manifest();
    let checkpoint = Checkpoint::from_bytes(manifest.spec, &read(&path.join(file::BACKBONE))?)
        .map_err(|source| VerifyError::Tensors {
            name: file::BACKBONE,
            source,
        })?;
    let ledger = ledger::check(&directory, &checkpoint)?;
    let onnx_path = directory.graph(Precision::Fp32);
    let onnx = read(&onnx_path.unwrap_or_else(|| path.join(file::ONNX)))?;
    let model = graph::decode(&onnx)?;
    let (graph_tensors, mut faults) = graph::compare(&model, &checkpoint);
    let check = output::Check::new(Runtime::load(library)?, &checkpoint);
    let output = check.run(&onnx)?;
    if !output.within() && faults.is_empty() {
        faults.push(check.first_wrong_stage(model)?);
    }
    faults.extend(check.stored(&directory)?);
    Ok(Report {
        name: manifest.name.to_string(),
        network: manifest.spec.to_string(),
        files: manifest.files.len(),
        parameters: checkpoint.tensors().len(),
        ledger,
        graph_tensors,
        output,
        faults,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, VerifyError> {
    fs::read(path).map_err(|source| VerifyError::Io {
        path: path.to_owned(),
        source,
    })
}
