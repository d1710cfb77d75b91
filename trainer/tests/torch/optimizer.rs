use std::collections::BTreeMap;

use detcon_trainer::optimizer::{Lars, LarsSettings, Optimizer, Slot};
use serde_json::from_value;
use tch::Tensor;

use crate::cases::assert_close;
use crate::golden::{float, json, objective, setting};

/// Four steps with biases and batch norms, a gradient of 0, a weight of 0 and a rate of 0.
#[test]
fn lars_moves_weights_as_upstream_does() {
    let file = objective("lars.safetensors");
    let mut optimizer = Optimizer::Lars(Lars::new(LarsSettings {
        weight_decay: setting(&file, "weight_decay"),
        momentum: setting(&file, "momentum"),
        eta: setting(&file, "eta"),
    }));
    let names = file.names();
    let names: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("init."))
        .collect();
    let mut weights: BTreeMap<&str, Tensor> = names
        .iter()
        .map(|&name| (name, float(&file, &format!("init.{name}"))))
        .collect();
    let rates: Vec<f64> = from_value(json(&file, "lrs")).unwrap();
    for (step, &rate) in rates.iter().enumerate() {
        for (&name, weight) in &mut weights {
            let mut slot = Slot {
                name,
                weight,
                gradient: &float(&file, &format!("{step}.grad.{name}")),
                regularised: !(name.ends_with("/b") || name.contains("norm")),
            };
            optimizer.update(&mut slot, rate);
            let expected = float(&file, &format!("{step}.param.{name}"));
            assert_close(
                &format!("{name} after step {step}"),
                weight,
                &expected,
                1e-5,
            );
        }
    }
}
