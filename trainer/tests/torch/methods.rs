use detcon_trainer::learner::{Batch, Learner, View};
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
    let overrides = [
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
