//! What benchmarks share: medians, and where they leave their numbers for programs.

use std::fs;

use serde_json::Value;

use crate::golden;

/// Writes a result to `target/bench/NAME.json`.
pub fn write(name: &str, result: &Value) {
    let folder = golden::workspace().join("target/bench");
    fs::create_dir_all(&folder).expect("target/ can be written");
    let text = serde_json::to_string_pretty(result).expect("numbers and texts") + "\n";
    fs::write(folder.join(format!("{name}.json")), text).expect("target/ can be written");
}

/// The middle value, the upper one of an even count.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
