//! A failure in one line: what, why, and what to do next; and the exit code for it.

use std::io::{self, ErrorKind};
use std::process::exit;

use detcon_converter::ensure::EnsureError;
use detcon_converter::export::ExportError;
use detcon_converter::fetch::FetchError;
use detcon_converter::import::ImportError;
use detcon_converter::next_step::{fetch, next_step};
use detcon_converter::quantize::QuantizeError;
use detcon_converter::quantized_import::QuantizedImportError;
use detcon_converter::verify::VerifyError;
use detcon_core::model::ModelError;

/// What wrong usage ends the program with; any other failure ends it with 1.
const USAGE: i32 = 2;

/// Ends the program as wrong usage does, or as `--help` and `--version` do.
pub(crate) fn usage(error: &clap::Error) -> ! {
    let help = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if help || !error.use_stderr() {
        error.exit();
    }
    let text = error.render().to_string();
    // What is wrong, and a tip where clap has one. The usage follows, of which --help has more.
    let paragraphs = text.strip_prefix("error: ").unwrap_or(&text).split("\n\n");
    let told = paragraphs
        .take_while(|it| !it.starts_with("Usage:") && !it.starts_with("For more information"))
        .map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    refuse(&told.collect::<Vec<_>>().join("; "))
}

/// Ends the program for wrong usage that clap does not know of.
pub(crate) fn refuse(message: &str) -> ! {
    eprintln!("detcon-convert: {message}; --help shows the usage");
    exit(USAGE)
}

/// The line that tells of `error`.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = causes(error);
    if let Some(step) = error.chain().find_map(step) {
        line.push_str("; ");
        line.push_str(step);
    }
    line.replace('\n', " ")
}

/// The error and what caused it, but for causes whose words the error before them has already.
fn causes(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            let separator = if line.is_empty() { "" } else { ": " };
            line.push_str(separator);
            line.push_str(&cause);
        }
    }
    line
}

/// What to do next, where a cause tells and does not say so itself.
fn step(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<ImportError>() {
        return next_step(error);
    }
    if let Some(EnsureError::Import(error)) = cause.downcast_ref::<EnsureError>() {
        return next_step(error);
    }
    if let Some(QuantizedImportError::Import(error)) = cause.downcast_ref() {
        return next_step(error);
    }
    if let Some(error) = cause.downcast_ref::<FetchError>() {
        return fetch(error);
    }
    if cannot_be_read(cause) {
        return Some("give a model directory whose files can be read");
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("free some space, or give a place on another disk")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some("give a place that may be written")
        }
        _ => None,
    }
}

/// Whether a model directory or a file of one could not be read: there is nothing to be written there.
fn cannot_be_read(cause: &(dyn std::error::Error + 'static)) -> bool {
    let model = |error: &ModelError| matches!(error, ModelError::Io { .. });
    match cause.downcast_ref::<VerifyError>() {
        Some(VerifyError::Io { .. }) => return true,
        Some(VerifyError::Model(error)) => return model(error),
        _ => {}
    }
    match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(ExportError::Model(error)), _) | (_, Some(QuantizeError::Model(error))) => {
            model(error)
        }
        _ => false,
    }
}
