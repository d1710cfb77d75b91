//! The cases that a golden file names, and how near their tensors are met.

use std::collections::HashMap;

use detcon_tests::golden::Tensors;
use serde_json::Value;
use tch::Tensor;

use crate::golden::{difference, json};

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

/// Fails where a tensor is further than `tolerance` from what the published code gave.
pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let error = difference(found, expected, 1e-6);
    assert!(
        error <= tolerance,
        "{what}: {error:e} is more than {tolerance:e}"
    );
}
