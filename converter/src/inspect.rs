//! What is in a checkpoint, without converting it. Hostile files are looked into as well: nothing is executed.

mod command;

use std::collections::BTreeMap;
use std::fmt;

use detcon_core::arch::{ResNetSpec, Version};
use detcon_core::names::infer_spec;
use serde::Serialize;

use command::Command;

use crate::fetch::{FetchError, FetchOptions};
use crate::haiku::Network;
use crate::import::{ImportError, content};
use crate::location::{Location, Opened};
use crate::next_step::next_step;
use crate::pickle::{Array, Limits, Verdict};
use crate::source::{self, Content, FileKind};
use crate::torch::{TensorFile, TorchError};

/// Commands that are shown where one must be chosen.
const COMMANDS: usize = 6;

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
    /// What to do about that, where the problem does not say it itself.
    pub advice: Option<String>,
    /// The command that imports it, or one for each network where it must be said which.
    pub commands: Vec<String>,
    /// Every network in a file of tensors by dotted names.
    pub networks: Vec<FoundNetwork>,
    /// What an import would set aside.
    pub set_aside: Vec<SetAside>,
    /// Every global that the pickle names.
    pub globals: Vec<GlobalCount>,
    /// Every tensor.
    pub tensors: Vec<TensorSummary>,
}

/// A network in a file.
#[derive(Debug, Serialize)]
pub struct FoundNetwork {
    /// Where it is, as `--strip-prefix` takes it; empty at the top.
    pub place: String,
    /// Whose spelling its names are in.
    pub spelling: String,
    /// Its architecture, where the tensors are one's.
    pub network: Option<String>,
    /// Whether an import takes it.
    pub taken: bool,
}

/// What an import would not use.
#[derive(Debug, Serialize)]
pub struct SetAside {
    /// Where it is in the file.
    pub key: String,
    /// Why it is not used.
    pub reason: String,
}

/// A global of the pickle.
#[derive(Debug, Serialize)]
pub struct GlobalCount {
    /// Module and name, with a dot between.
    pub name: String,
    /// Whether it is on the allow-list.
    pub allowed: bool,
    /// `allowed`, `opaque` where its objects are no data and left out, `refused` where it could run code.
    pub verdict: &'static str,
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
    let command = Command::of(source);
    let mut opened = source.resolved()?.open(options, scratch.path())?;
    let sha256 = opened.sha256()?.to_owned();
    Ok(report(&opened, &sha256, &command))
}

fn report(opened: &Opened, sha256: &str, command: &Command) -> Report {
    let bytes = opened.bytes();
    let mut report = Report {
        bytes: opened.len(),
        sha256: sha256.to_owned(),
        kind: FileKind::of(bytes).to_string(),
        layout: None,
        network: None,
        reason: None,
        problem: None,
        advice: None,
        commands: Vec::new(),
        networks: Vec::new(),
        set_aside: Vec::new(),
        globals: globals(bytes),
        tensors: Vec::new(),
    };
    if let Err(problem) = describe(opened, command, &mut report) {
        report.advice = next_step(&problem).map(str::to_owned);
        report.problem = Some(problem.to_string());
    }
    report
}

fn describe(opened: &Opened, command: &Command, report: &mut Report) -> Result<(), ImportError> {
    match content(opened, Network::default())? {
        Content::Haiku(tree) => {
            report.layout = Some(tree.layout.to_string());
            let tensors = tree.entries.iter();
            report.tensors = tensors.map(|it| summary(it.key(), &it.array)).collect();
            let aside = tree.set_aside.iter();
            report.set_aside = aside
                .map(|it| SetAside {
                    key: it.key.clone(),
                    reason: it.reason.to_string(),
                })
                .collect();
            let names = tree.entries.iter();
            let spec =
                infer_spec(names.map(|e| (e.module.as_str(), e.name.as_str(), e.array.shape())))?;
            report.network = Some(spec.to_string());
            report.reason = Some(haiku_reason(spec));
            report.commands = vec![command.with(None)];
        }
        Content::Torch(file) => describe_tensors(&file, command, report)?,
    }
    Ok(())
}

fn describe_tensors(
    file: &TensorFile<'_>,
    command: &Command,
    report: &mut Report,
) -> Result<(), ImportError> {
    report.layout = Some(file.to_string());
    report.tensors = file
        .entries()
        .map(|(key, array)| summary(key, array))
        .collect();
    let chosen = file.backbone(None);
    let taken = chosen.as_ref().ok().map(|it| it.place().to_owned());
    let networks = file.networks().into_iter();
    report.networks = networks
        .map(|it| FoundNetwork {
            taken: taken.as_ref() == Some(&it.place),
            place: it.place,
            spelling: it.spelling.to_owned(),
            network: it.architecture.map(|spec| spec.to_string()),
        })
        .collect();
    if let Err(TorchError::SeveralNetworks { .. }) = chosen {
        let places = report.networks.iter().filter(|it| it.network.is_some());
        let commands = places.map(|it| command.with(Some(&it.place)));
        report.commands = commands.take(COMMANDS).collect();
    }
    let backbone = chosen?;
    report.layout = Some(file.layout(&backbone));
    report.network = Some(backbone.architecture().to_string());
    report.reason = Some(torch_reason(backbone.architecture()));
    report.commands = vec![command.with(None)];
    let unused = file.beside(&backbone).into_iter();
    report.set_aside = unused
        .chain(file.unused(&backbone))
        .map(|(key, reason)| SetAside { key, reason })
        .collect();
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
        let (verdict, offset) = (global.verdict, global.offset);
        let first = || GlobalCount {
            name: name.clone(),
            allowed: verdict == Verdict::Allowed,
            verdict: match verdict {
                Verdict::Allowed => "allowed",
                Verdict::Opaque => "opaque",
                Verdict::Refused => "refused",
            },
            offset,
            count: 0,
        };
        let counted = counts.entry(name.clone()).or_insert_with(first);
        counted.count += 1;
        if verdict == Verdict::Refused {
            counted.verdict = "refused"; // it may be called in one place alone
        }
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
            ("advice", &self.advice),
        ] {
            if let Some(value) = value {
                writeln!(f, "{label:9} {value}")?;
            }
        }
        for command in &self.commands {
            writeln!(f, "import    {command}")?;
        }
        for it in &self.networks {
            writeln!(f, "found     {it}")?;
        }
        self.write_set_aside(f)?;
        for GlobalCount {
            name,
            verdict,
            offset,
            count,
            ..
        } in &self.globals
        {
            let verdict = match *verdict {
                "refused" => "REFUSED",
                other => other,
            };
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

/// Names that are shown of those that are set aside for one reason.
const SHOWN: usize = 8;

impl Report {
    /// What would be set aside, the first few of each reason.
    fn write_set_aside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rows in self.set_aside.chunk_by(|a, b| a.reason == b.reason) {
            for SetAside { key, reason } in rows.iter().take(SHOWN) {
                writeln!(f, "aside     {key}: {reason}")?;
            }
            if let [SetAside { reason, .. }, ..] = rows
                && rows.len() > SHOWN
            {
                let more = rows.len() - SHOWN;
                writeln!(f, "aside     {more} more: {reason}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FoundNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            spelling,
            network,
            taken,
        } = self;
        let network = network.as_deref().unwrap_or("no whole ResNet");
        let place = if place.is_empty() { "the top" } else { place };
        let mark = if *taken { ", which is taken" } else { "" };
        write!(f, "{network} at {place}, spelled as {spelling}{mark}")
    }
}
