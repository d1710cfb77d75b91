//! The program, the folders it works on, and what it leaves there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use detcon_tests::{models, service};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The directory of a small model.
pub(crate) fn model() -> PathBuf {
    models::imported("tiny", 0).path().to_owned()
}

/// The program, not started yet.
pub(crate) fn command(command: &str, input: &str, output: &str, flags: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-extract"));
    program.args([command, input, output]).args(flags);
    program.arg("--model").arg(model());
    program.env("DETCON_ONNXRUNTIME", service::library());
    for scheduler in [
        "JOB_COMPLETION_INDEX",
        "SLURM_ARRAY_TASK_ID",
        "DETCON_WORKERS",
    ] {
        program.env_remove(scheduler);
    }
    program
}

/// Starts the program, which must exit with `code`.
pub(crate) fn run(name: &str, input: &str, output: &Path, flags: &[&str], code: i32) -> Output {
    let done = command(name, input, output.to_str().unwrap(), flags)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{error}");
    done
}

/// Starts it and reads what it says that it did.
pub(crate) fn summary(name: &str, input: &str, output: &Path, flags: &[&str]) -> Value {
    serde_json::from_slice(&run(name, input, output, flags, 0).stdout).unwrap()
}

/// Starts it, which must fail, and gives its one line.
pub(crate) fn refusal(name: &str, input: &str, output: &Path, flags: &[&str]) -> String {
    let done = run(name, input, output, flags, 1);
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    error
}

/// What `status` says.
pub(crate) fn status(output: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-extract"));
    let done = program.args(["status", output]).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{error}");
    String::from_utf8(done.stdout).unwrap()
}

/// Every file of an output by name, hidden ones too.
pub(crate) fn files(output: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(output).unwrap().map(|entry| entry.unwrap());
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    read.collect()
}

/// The rows of an output, part by part.
pub(crate) fn batches(output: &Path) -> Vec<RecordBatch> {
    let mut parts: Vec<_> = files(output).into_iter().collect();
    parts.retain(|(name, _)| name.starts_with("part-"));
    let parts = parts.into_iter().flat_map(|(_, bytes)| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        builder.build().unwrap().map(Result::unwrap)
    });
    parts.collect()
}

/// A column of texts; empty ones where there are none.
pub(crate) fn texts(batches: &[RecordBatch], name: &str) -> Vec<String> {
    let texts = batches.iter().flat_map(|batch| {
        let column = Arc::clone(batch.column_by_name(name).unwrap());
        let column = column.as_string::<i32>().clone();
        let text = |row| {
            if column.is_valid(row) {
                column.value(row).to_owned()
            } else {
                String::new()
            }
        };
        (0..column.len()).map(text).collect::<Vec<_>>()
    });
    texts.collect()
}

/// A column of integers.
pub(crate) fn integers(batches: &[RecordBatch], name: &str) -> Vec<i64> {
    let integers = batches.iter().flat_map(|batch| {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    integers.collect()
}

/// A column of vectors.
pub(crate) fn vectors(batches: &[RecordBatch], name: &str) -> Vec<Vec<f32>> {
    let vectors = batches.iter().flat_map(|batch| {
        let column = batch.column_by_name(name).unwrap().as_fixed_size_list();
        let row = |row| {
            column
                .value(row)
                .as_primitive::<Float32Type>()
                .values()
                .to_vec()
        };
        (0..column.len()).map(row).collect::<Vec<_>>()
    });
    vectors.collect()
}

/// Embeddings by what images are called.
pub(crate) fn embeddings(output: &Path, by: &str) -> BTreeMap<String, Vec<f32>> {
    let batches = batches(output);
    let names = texts(&batches, by);
    names
        .into_iter()
        .zip(vectors(&batches, "embedding"))
        .collect()
}
