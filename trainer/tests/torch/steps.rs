//! Whole steps of the published code, repeated: what goes in, what comes out, how far apart.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use detcon_core::arch::ResNetSpec;
use detcon_core::segment::SegmentMap;
use detcon_tests::golden::Tensors;
use detcon_trainer::distributed::{Group, Share};
use detcon_trainer::learner::{
    Batch, Learner, LearnerSettings, Logs, Precision, TrainingMode, View,
};
use detcon_trainer::objective::{LocalNegatives, LossSettings, Regions};
use detcon_trainer::optimizer::{Lars, LarsSettings, Optimizer};
use detcon_trainer::schedule::{LearningRate, TargetDecay};
use detcon_trainer::tensor::to_core;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::golden::{
    Names, assert_near, byte, difference, float, generated, integer, json, setting,
};

/// How far logs are off at most, in either.
const LOGS_TOLERANCE: f64 = 1e-3;
/// A gradient or change below this is 0 but for rounding: biases before a batch norm have none.
const ZERO: f64 = 1e-6;

/// Where each step after the first starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Where the one before ended.
    Own,
    /// At the weights that the published code had then: what is found is this step's doing alone.
    Published,
}

/// Steps of a golden file, as one of the ranks of a group where there is one: logs, gradients, and the change of every
/// weight and moving average in each step. Gives the largest error.
pub(crate) fn three_steps(
    file: &Tensors,
    kind: Kind,
    tolerance: f64,
    start: Start,
    group: Option<&Arc<Group>>,
) -> f64 {
    let mut worst = 0.0_f64;
    let share = group.map_or(Share::WHOLE, |group| group.share());
    assert_eq!(share.size(), setting::<usize>(file, "replicas"));
    let spec: ResNetSpec = file.metadata("arch").parse().unwrap();
    let names = Names::new(spec);
    let mut learner = learner(file, spec, kind);
    if let Some(group) = group {
        learner = learner.among(Arc::clone(group));
    }
    let logs: Vec<Value> = serde_json::from_value(json(file, "logs")).unwrap();
    let mut last = BTreeMap::new();
    for (name, tensor) in snapshot(&learner) {
        last.insert(name, [tensor.copy(), tensor]);
    }
    for (step, logs) in logs.iter().enumerate() {
        let (gradients, found) = learner.gradients(&batch(file, step, kind, share)).unwrap();
        assert_logs(step, &found, logs);
        let expected = published(file, &names, step);
        for (name, gradient) in &gradients {
            let expected = &expected[&format!("grad.{name}")];
            let error = difference(gradient, expected, ZERO);
            assert!(error <= tolerance, "{step}: gradient of {name}: {error:e}");
            worst = worst.max(error);
        }
        learner.update(&gradients);
        for (name, found) in snapshot(&learner) {
            // The file tells the target's moving averages after the last step alone.
            if let Some(expected) = expected.get(&name) {
                let now = [found, expected.copy()];
                let error = change_error(&last[&name], &now);
                assert!(error <= tolerance, "{step}: change of {name}: {error:e}");
                worst = worst.max(error);
                last.insert(name, now);
            }
        }
        match start {
            Start::Own => {}
            Start::Published => {
                take_weights(&mut learner, &expected);
                for (_, ends) in last.iter_mut().filter(|(name, _)| is_weight(name)) {
                    ends[0] = ends[1].copy();
                }
            }
        }
    }
    assert_eq!(
        learner.step_number(),
        setting::<u64>(file, "first_step") + logs.len() as u64
    );
    worst
}

/// Whether a name of a [`snapshot`] is a weight's, and no moving average's.
fn is_weight(name: &str) -> bool {
    name.starts_with("online.") || name.starts_with("target.")
}

/// Puts the published weights in place of a learner's own.
fn take_weights(learner: &mut Learner, published: &BTreeMap<String, Tensor>) {
    let mut state = learner.state();
    for (name, weight) in published.iter().filter(|(name, _)| is_weight(name)) {
        let kept = state.tensors.get_mut(name);
        kept.expect("the state has every weight").tensor = to_core(weight);
    }
    learner.restore(&state, Device::Cpu).unwrap();
}

/// The difference of two changes (what was found, what was expected), not of values: a missing update shows, however
/// small it is beside the value.
fn change_error(before: &[Tensor; 2], after: &[Tensor; 2]) -> f64 {
    let [found, expected] = [0, 1].map(|of: usize| &after[of] - &before[of]);
    difference(&found, &expected, ZERO)
}

/// Every weight and moving average: `online.NAME`, `online_state.NAME` (the average), `online_state.NAME.hidden` (what
/// is kept of it), and the same of the target.
fn snapshot(learner: &Learner) -> BTreeMap<String, Tensor> {
    let networks = [
        ("online", learner.online()),
        ("target", learner.target().unwrap()),
    ];
    let tensors = networks.map(|(part, network)| {
        let weights = network.weights().iter();
        let weights =
            weights.map(|(name, weight)| (format!("{part}.{name}"), weight.detach().copy()));
        let averages = network.averages().iter().flat_map(|(name, average)| {
            let state = format!("{part}_state.{name}");
            let hidden = (format!("{state}.hidden"), average.hidden().copy());
            [(state, average.value(network.decay())), hidden]
        });
        weights.chain(averages).collect::<Vec<_>>()
    });
    tensors.into_iter().flatten().collect()
}

/// The float tensors of a step, by the names of a [`snapshot`], and `grad.NAME`.
fn published(file: &Tensors, names: &Names, step: usize) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    for key in file.names() {
        let Some((part, path)) = key
            .strip_prefix(&format!("{step}."))
            .and_then(|key| key.split_once('.'))
        else {
            continue;
        };
        if path.ends_with("/counter") {
            continue;
        }
        let tensor = float(file, &key);
        let (name, tensor) = match path.strip_suffix("/hidden") {
            Some(module) => {
                let (name, tensor) = names.place(&format!("{module}/average"), &tensor);
                (format!("{name}.hidden"), tensor)
            }
            None => names.place(path, &tensor),
        };
        tensors.insert(format!("{part}.{name}"), tensor);
    }
    tensors
}

fn learner(file: &Tensors, spec: ResNetSpec, kind: Kind) -> Learner {
    let network = |seed: &str| {
        let network = generated(spec, setting(file, seed));
        network.with_decay(setting(file, "bn_decay")).to_kind(kind)
    };
    let lars = LarsSettings {
        weight_decay: setting(file, "weight_decay"),
        momentum: setting(file, "momentum"),
        eta: setting(file, "eta"),
    };
    let settings = LearnerSettings {
        mode: TrainingMode::SelfSupervised,
        loss: LossSettings {
            temperature: setting(file, "temperature"),
            local_negatives: if setting(file, "local_negatives") {
                LocalNegatives::Included
            } else {
                LocalNegatives::Excluded
            },
        },
        learning_rate: LearningRate {
            base: setting(file, "base_learning_rate"),
            batch: setting(file, "batch"),
            warmup_steps: setting(file, "warmup_steps"),
            max_steps: setting(file, "max_steps"),
        },
        target_decay: TargetDecay {
            base: setting(file, "base_target_ema"),
            max_steps: setting(file, "max_steps"),
        },
        parts: 1,
        precision: Precision::Float32,
    };
    let optimizer = Optimizer::Lars(Lars::new(lars));
    Learner::new(
        settings,
        network("online_seed"),
        Some(network("target_seed")),
        optimizer,
    )
    .at_step(setting(file, "first_step"))
}

fn batch(file: &Tensors, step: usize, kind: Kind, share: Share) -> Batch {
    let own = |tensor: Tensor| {
        let count = tensor.size()[0] / i64::try_from(share.size()).unwrap();
        tensor.narrow(0, i64::try_from(share.rank()).unwrap() * count, count)
    };
    Batch {
        views: [1, 2].map(|view| View {
            images: own(byte(file, &format!("{step}.view{view}")))
                .permute([0, 3, 1, 2])
                .to_kind(kind)
                / 255.0,
            regions: Regions::new(
                &own(grids(file, &format!("{step}.mask{view}"))),
                own(integer(file, &format!("{step}.ids{view}"))),
            ),
        }),
        labels: own(integer(file, &format!("{step}.labels"))),
    }
}

/// The commonest id of each cell: int64 `[N, cells]`.
fn grids(file: &Tensors, name: &str) -> Tensor {
    let masks = file.u8(name).unwrap();
    let side = |axis: usize| u32::try_from(masks.shape[axis]).unwrap();
    let stride: NonZeroU32 = setting(file, "mask_stride");
    let grids = masks
        .values
        .chunks_exact(masks.shape[1] * masks.shape[2])
        .map(|mask| {
            let ids = mask.iter().map(|&id| u16::from(id)).collect();
            let grid = SegmentMap::new(side(1), side(2), ids)
                .unwrap()
                .majority(stride);
            Tensor::from_slice(
                &grid
                    .ids()
                    .iter()
                    .map(|&id| i64::from(id))
                    .collect::<Vec<_>>(),
            )
        });
    Tensor::stack(&grids.collect::<Vec<_>>(), 0)
}

fn assert_logs(step: usize, found: &Logs, expected: &Value) {
    let [projections, predictions] = [found.projections, found.predictions].map(Option::unwrap);
    for (key, found) in [
        ("loss", found.loss),
        ("repr_loss", found.contrast),
        ("classif_loss", found.classification),
        ("proj_mean", projections.mean),
        ("proj_std", projections.deviation),
        ("normalized_proj_std", projections.normalized_deviation),
        ("pred_mean", predictions.mean),
        ("pred_std", predictions.deviation),
        ("normalized_pred_std", predictions.normalized_deviation),
        ("lr", found.learning_rate),
        ("tau", found.target_decay),
    ] {
        assert_near(
            &format!("step {step}: {key}"),
            found,
            expected[key].as_f64().unwrap(),
            LOGS_TOLERANCE,
        );
    }
}
