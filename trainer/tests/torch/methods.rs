use detcon_trainer::learner::{Batch, Learner, View};
use detcon_trainer::network::Network;
use detcon_trainer::objective::Regions;
use detcon_trainer::recipe::Recipe;
use tch::{Device, Kind, Tensor};

/// Four images with four quadrants each, of which each view shows brighter and darker ones.
fn batch(seed: i64) -> Batch {
    tch::manual_seed(seed);
    let scenes = Tensor::rand([4, 3, 2, 2], (Kind::Float, Device::Cpu));
    let view = |brightness: f64| View {
        images: (scenes.upsample_nearest2d([64, 64], None, None) * brightness).clamp(0.0, 1.0),
        regions: Regions::new(
            &Tensor::from_slice(&[0_i64, 1, 2, 3]).repeat([4, 1]),
            Tensor::from_slice(&[0_i64, 1, 2, 3]).repeat([4, 1]),
        ),
    };
    Batch {
        views: [view(1.0), view(0.8)],
        labels: Tensor::from_slice(&[0_i64, 1, 2, -1]),
    }
}

fn learner(method: &str) -> Learner {
    learner_with(method, &[])
}

fn learner_with(method: &str, settings: &[&str]) -> Learner {
    let mut overrides = vec![
        format!("method={method}"),
        "arch=tiny".to_owned(),
        "heads.hidden=32".to_owned(),
        "heads.projection=16".to_owned(),
        "heads.classes=10".to_owned(),
        "duration.steps=60".to_owned(),
        "warmup.steps=0".to_owned(),
        "optimizer.adamw.weight_decay=0.0".to_owned(),
        "base_learning_rate=0.2".to_owned(),
        "batch=4".to_owned(),
    ];
    overrides.extend(settings.iter().map(|&it| it.to_owned()));
    Recipe::parse("", &overrides)
        .unwrap()
        .learner(4, Device::Cpu)
}

#[test]
fn either_method_learns_to_tell_regions_apart() {
    for method in ["detcon-b", "detcon-s"] {
        let (mut learner, batch) = (learner(method), batch(0));
        let first = learner.step(&batch).unwrap();
        for _ in 0..39 {
            learner.step(&batch).unwrap();
        }
        let last = learner.step(&batch).unwrap();
        assert!(
            last.contrast < 0.7 * first.contrast,
            "{method}: {} after {}",
            last.contrast,
            first.contrast
        );
    }
}

/// The target moves by the share that the schedule says.
#[test]
fn detcon_s_has_no_target_and_detcon_b_has_one() {
    assert!(learner("detcon-s").target().is_none());
    let mut learner = learner("detcon-b");
    let start = learner.target().unwrap().weights()["conv1.weight"].copy();
    learner.step(&batch(1)).unwrap();
    let target = &learner.target().unwrap().weights()["conv1.weight"];
    let online = &learner.online().weights()["conv1.weight"];
    let [moved, ahead] = [target - &start, online - &start].map(|it| it.norm().double_value(&[]));
    let share = 1.0 - 0.996;
    assert!(
        (moved / ahead - share).abs() < 0.01 * share,
        "{moved} of {ahead}"
    );
}

/// In float64, so that what must be the same is.
fn target_and_online(settings: &[&str]) -> (Tensor, Tensor) {
    let learner = learner_with("detcon-b", settings);
    let weight = |network: &Network| network.weights()["conv1.weight"].copy();
    (weight(learner.target().unwrap()), weight(learner.online()))
}

/// Upstream initialises both from halves of one random key.
#[test]
fn the_target_starts_on_its_own_or_as_a_copy() {
    let (target, online) = target_and_online(&[]);
    let correlation = (&target * &online).sum(Kind::Double) / target.norm() / online.norm();
    assert!(correlation.double_value(&[]).abs() < 0.1, "{correlation:?}");
    let spread = |of: &Tensor| of.std(true).double_value(&[]);
    assert!((spread(&target) / spread(&online) - 1.0).abs() < 0.05);
    assert!(target_and_online(&["seed=1"]).0 != target);
    assert!(target_and_online(&[]).0 == target);
    let (target, online) = target_and_online(&["target_start=copy"]);
    assert!(target == online);
}

/// Labels reach the backbone in two of the three modes, and the contrast in two.
#[test]
fn each_mode_teaches_what_it_should() {
    let batch = batch(4);
    let gradients = |mode: &str| {
        let mode = format!("training_mode={mode}");
        let mut learner = learner_with("detcon-b", &[&mode]);
        let averages = learner.target().unwrap().averages()["bn1.running_mean"].updates();
        let (gradients, logs) = learner.gradients(&batch).unwrap();
        // The target's averages move in any mode.
        let moved = learner.target().unwrap().averages()["bn1.running_mean"].updates();
        assert_eq!(moved - averages, 2);
        let before = learner.online().weights()["projector.linear.weight"].copy();
        learner.update(&gradients);
        let after = learner.online().weights()["projector.linear.weight"].copy();
        (gradients, logs, before == after)
    };
    let (contrast, contrast_logs, _) = gradients("self-supervised");
    let (labels, label_logs, still) = gradients("supervised");
    let (both, both_logs, _) = gradients("both");
    assert!(still && !labels.contains_key("projector.linear.weight"));
    assert!(label_logs.projections.is_none() && label_logs.contrast.abs() < 1e-12);
    assert!((label_logs.loss - contrast_logs.classification).abs() < 1e-6);
    assert!((both_logs.loss - contrast_logs.loss).abs() < 1e-6);
    for (name, label) in &labels {
        let sum = if name.starts_with("classifier") {
            assert!(label.norm().double_value(&[]) > 0.0);
            label.copy()
        } else {
            label + &contrast[name]
        };
        let error = (&both[name] - &sum).norm() / (sum.norm() + 1e-6);
        assert!(error.double_value(&[]) < 1e-3, "{name}: {error:?}");
    }
}

/// Each part has its own batch statistics and negatives: the gradient is the mean of what each alone has.
#[test]
fn a_batch_in_parts_has_the_mean_of_the_parts_gradients() {
    let whole = batch(2);
    let half = |first: i64| Batch {
        views: whole.views.each_ref().map(|view| View {
            images: view.images.narrow(0, first, 2),
            regions: Regions::new(
                &Tensor::from_slice(&[0_i64, 1, 2, 3]).repeat([2, 1]),
                view.regions.ids().narrow(0, first, 2),
            ),
        }),
        labels: whole.labels.narrow(0, first, 2),
    };
    let (found, logs) = learner_with("detcon-b", &["parts=2"])
        .gradients(&whole)
        .unwrap();
    let halves = [0, 2].map(|first| learner("detcon-b").gradients(&half(first)).unwrap());
    for (name, found) in found {
        let mean = (&halves[0].0[&name] + &halves[1].0[&name]) / 2.0;
        assert!(found.allclose(&mean, 1e-5, 1e-7, false), "{name}");
    }
    let mean = f64::midpoint(halves[0].1.contrast, halves[1].1.contrast);
    assert!(
        (logs.contrast - mean).abs() < 1e-6,
        "{} and {mean}",
        logs.contrast
    );
}

/// bfloat16 has 8 bits of precision, and its losses are those of float32 but for that.
#[test]
fn bfloat16_computes_nearly_what_float32_does() {
    let of = |precision: &str| {
        let mut learner = learner_with("detcon-b", &[&format!("precision={precision}")]);
        learner.gradients(&batch(3)).unwrap()
    };
    let ((exact, full), (rounded, half)) = (of("float32"), of("bfloat16"));
    let difference = (full.loss - half.loss).abs() / full.loss;
    assert!(0.0 < difference && difference < 0.02, "{difference}");
    for name in ["predictor.linear_1.weight", "classifier.weight"] {
        let error = (&exact[name] - &rounded[name]).norm() / exact[name].norm();
        let error = error.double_value(&[]);
        assert!(0.0 < error && error < 0.1, "{name}: {error}");
        assert_eq!(rounded[name].kind(), Kind::Float);
    }
}
