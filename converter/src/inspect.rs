//! What is in a checkpoint, without converting it. Hostile files are looked into as well: nothing is executed.

use std::collections::BTreeMap;
use std::fmt;

use detcon_core::arch::{ResNetSpec, Version};
use detcon_core::names::infer_spec;
use serde::Serialize;

use crate::fetch::{FetchError, FetchOptions};
use crate::haiku::Network;
use crate::location::Location;
use crate::pickle::{Array, Limits};
use crate::source::{self, Content, FileKind};

/// What was found in a file.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Length of the file.
    pub bytes: usize,
    /// Its SHA-256.
    pub sha256: String,
    /// What kind of file it is.
    pub kind: String,
    /// How the checkpoint is laid out, if it is one.
    pub layout: Option<String>,
    /// The network, if there is one.
    pub network: Option<String>,
    /// What told it.
    pub reason: Option<String>,
    /// Why the file cannot be imported, if it cannot.
    pub problem: Option<String>,
    /// Every global that the pickle names.
    pub globals: Vec<GlobalCount>,
    /// Every tensor.
    pub tensors: Vec<TensorSummary>,
}

/// A global of the pickle.
#[derive(Debug, Serialize)]
pub struct GlobalCount {
    /// Module and name, with a dot between.
    pub name: String,
    /// Whether it is on the allow-list.
    pub allowed: bool,
    /// Where it is named first, from the start of the file.
    pub offset: usize,
    /// How often it is named.
    pub count: usize,
}

/// A tensor of the checkpoint.
#[derive(Debug, Serialize)]
pub struct TensorSummary {
    /// Module and name.
    pub key: String,
    /// Type of the values.
    pub dtype: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
}

/// Looks into the checkpoint at `source`.
pub fn inspect(source: &Location, options: &FetchOptions) -> Result<Report, FetchError> {
    let scratch = tempfile::tempdir().map_err(|source| FetchError::Io {
        path: std::env::temp_dir(),
        source,
    })?;
    let mut opened = source.open(options, scratch.path())?;
    let sha256 = opened.sha256()?.to_owned();
    Ok(report(opened.bytes(), &sha256))
}

fn report(bytes: &[u8], sha256: &str) -> Report {
    let mut report = Report {
        bytes: bytes.len(),
        sha256: sha256.to_owned(),
        kind: FileKind::of(bytes).to_string(),
        layout: None,
        network: None,
        reason: None,
        problem: None,
        globals: globals(bytes),
        tensors: Vec::new(),
    };
    if let Err(problem) = describe(bytes, &mut report) {
        report.problem = Some(problem.to_string());
    }
    report
}

fn describe(bytes: &[u8], report: &mut Report) -> Result<(), Box<dyn std::error::Error>> {
    match source::open(bytes, Network::default(), &Limits::default())? {
        Content::Haiku(tree) => {
            report.layout = Some(tree.layout.to_string());
            let tensors = tree.entries.iter();
            report.tensors = tensors.map(|it| summary(it.key(), &it.array)).collect();
            let names = tree.entries.iter();
            let spec =
                infer_spec(names.map(|e| (e.module.as_str(), e.name.as_str(), e.array.shape())))?;
            report.network = Some(spec.to_string());
            report.reason = Some(haiku_reason(spec));
        }
        Content::Torch(state) => {
            report.layout = Some(state.to_string());
            let tensors = state.entries().iter();
            report.tensors = tensors
                .map(|(name, array)| summary(name.clone(), array))
                .collect();
            let backbone = state.backbone(None)?;
            report.layout = Some(state.layout(&backbone));
            report.network = Some(backbone.architecture().to_string());
            report.reason = Some(torch_reason(backbone.architecture()));
        }
    }
    Ok(())
}

/// What `infer_spec` went by.
fn haiku_reason(spec: ResNetSpec) -> String {
    let last = match spec.version() {
        Version::V1 => "no final_batchnorm",
        Version::V2 => "a final_batchnorm",
    };
    format!(
        "modules below {}, a stem of {} channels, {last}",
        spec.depth().haiku_module(),
        spec.stem().outputs
    )
}

/// What the names and shapes of a state dict told.
fn torch_reason(spec: ResNetSpec) -> String {
    let kind = if spec.depth().bottleneck() {
        "bottleneck"
    } else {
        "basic"
    };
    let first = match spec.version() {
        Version::V1 => "bn1",
        Version::V2 => "no bn1",
    };
    format!(
        "{:?} {kind} blocks in layer1 to layer4, a stem of {} channels, {first}",
        spec.depth().blocks(),
        spec.stem().outputs
    )
}

fn summary(key: String, array: &Array<'_>) -> TensorSummary {
    TensorSummary {
        key,
        dtype: array.dtype().to_string(),
        shape: array.shape().to_vec(),
    }
}

fn globals(bytes: &[u8]) -> Vec<GlobalCount> {
    let Ok(found) = source::globals(bytes, &Limits::default()) else {
        return Vec::new(); // not a pickle, as the problem says
    };
    let mut counts: BTreeMap<String, GlobalCount> = BTreeMap::new();
    for global in found.uses {
        let name = format!("{}.{}", global.module, global.name);
        let (allowed, offset) = (global.allowed, global.offset);
        let first = || GlobalCount {
            name: name.clone(),
            allowed,
            offset,
            count: 0,
        };
        counts.entry(name.clone()).or_insert_with(first).count += 1;
    }
    counts.into_values().collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "file      {}, {} bytes, SHA-256 {}",
            self.kind, self.bytes, self.sha256
        )?;
        for (label, value) in [
            ("layout", &self.layout),
            ("network", &self.network),
            ("reason", &self.reason),
            ("problem", &self.problem),
        ] {
            if let Some(value) = value {
                writeln!(f, "{label:9} {value}")?;
            }
        }
        for GlobalCount {
            name,
            allowed,
            offset,
            count,
        } in &self.globals
        {
            let verdict = if *allowed { "allowed" } else { "REFUSED" };
            writeln!(
                f,
                "global    {verdict} {name}, {count} times, first at byte {offset}"
            )?;
        }
        for TensorSummary { key, dtype, shape } in &self.tensors {
            writeln!(f, "tensor    {key} {dtype} {shape:?}")?;
        }
        Ok(())
    }
}
