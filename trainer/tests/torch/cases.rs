//! The cases that a golden file names.

use std::collections::HashMap;

use detcon_tests::golden::Tensors;
use serde_json::Value;

use crate::golden::json;

/// The cases of a golden file whose tensors are called `CASE.WHAT`, with their settings.
pub(crate) fn cases(file: &Tensors, has: &str) -> Vec<(String, HashMap<String, Value>)> {
    let names = file.names();
    let cases = names.iter().filter_map(|name| name.strip_suffix(has));
    let cases: Vec<_> = cases
        .filter(|case| !case.starts_with("input"))
        .map(|case| {
            (
                case.to_owned(),
                serde_json::from_value(json(file, case)).unwrap(),
            )
        })
        .collect();
    assert!(!cases.is_empty(), "no {has} in the file");
    cases
}
