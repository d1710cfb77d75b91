//! Where benchmarks leave their numbers for programs: `target/bench/NAME.json`.

use std::fs;

use serde_json::Value;

use crate::golden;

/// Writes a result.
pub fn write(name: &str, result: &Value) {
    let folder = golden::workspace().join("target/bench");
    fs::create_dir_all(&folder).expect("target/ can be written");
    let text = serde_json::to_string_pretty(result).expect("numbers and texts") + "\n";
    fs::write(folder.join(format!("{name}.json")), text).expect("target/ can be written");
}
