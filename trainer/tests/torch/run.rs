use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use detcon_core::checkpoint::{Checkpoint, tensors_from_bytes};
use detcon_tests::golden::directory;
use detcon_trainer::learner::State;
use detcon_trainer::recipe::Recipe;
use detcon_trainer::run::{
    Illness, OtherData, Run, RunError, RunOptions, Snapshot, best, latest, read, write,
};
use tch::Device;

const OPTIONS: RunOptions = RunOptions {
    init: None,
    other_data: OtherData::Refuse,
    loader_threads: NonZeroUsize::MIN,
    checkpoint_every: NonZeroU64::new(2).unwrap(),
    keep: NonZeroUsize::new(2).unwrap(),
    device: Device::Cpu,
};

pub(crate) fn recipe(overrides: &[&str]) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/tiny.toml");
    let overrides: Vec<String> = overrides.iter().map(|&it| it.to_owned()).collect();
    Recipe::read(&path, &overrides).unwrap()
}

fn open(folder: &Path, recipe: &Recipe) -> Result<Run, RunError> {
    // Sums in parallel could be taken in another order.
    tch::set_num_threads(1);
    Run::open(folder, &directory().join("tfrecord"), *recipe, OPTIONS)
}

pub(crate) fn finish(folder: &Path, recipe: &Recipe) {
    let mut run = open(folder, recipe).unwrap();
    while run.step().unwrap().is_some() {}
}

/// Step and losses of each line.
fn losses(folder: &Path) -> Vec<[String; 3]> {
    let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        ["step", "loss", "contrast"].map(|key| line[key].to_string())
    };
    lines.lines().map(line).collect()
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() {
    for overrides in [
        &["method=detcon-b"][..],
        &["method=detcon-s", "optimizer.adamw.weight_decay=0.1"],
    ] {
        let recipe = recipe(overrides);
        let straight = tempfile::tempdir().unwrap();
        finish(straight.path(), &recipe);
        let expected = read(&latest(straight.path()).unwrap().unwrap()).unwrap();
        assert_eq!(expected.step, 8);
        for killed_after in [1, 2, 5, 7] {
            let folder = tempfile::tempdir().unwrap();
            let mut run = open(folder.path(), &recipe).unwrap();
            for _ in 0..killed_after {
                run.step().unwrap();
            }
            drop(run);
            finish(folder.path(), &recipe);
            let found = read(&latest(folder.path()).unwrap().unwrap()).unwrap();
            assert!(found == expected, "killed after {killed_after} steps");
            assert_eq!(losses(folder.path()), losses(straight.path()));
        }
    }
}

#[test]
fn a_run_keeps_the_last_checkpoints_and_what_inference_takes() {
    let folder = tempfile::tempdir().unwrap();
    finish(folder.path(), &recipe(&[]));
    let names = fs::read_dir(folder.path().join("checkpoints")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    // The last two, and the best, which the losses choose.
    let best = best(folder.path()).unwrap().unwrap();
    let mut expected = ["00000006", "00000008"].map(str::to_owned).to_vec();
    expected.push(best.file_name().unwrap().to_str().unwrap().to_owned());
    expected.sort();
    expected.dedup();
    assert_eq!(names, expected);
    let place = latest(folder.path()).unwrap().unwrap();
    let bytes = fs::read(place.join("model.safetensors")).unwrap();
    let backbone = Checkpoint::from_bytes("tiny".parse().unwrap(), &bytes).unwrap();
    let state = read(&place).unwrap();
    assert_eq!(
        &state.tensors["online.conv1.weight"].tensor,
        backbone.get("conv1.weight")
    );
    assert_eq!(state.tensors["online.bn1.running_mean"].updates, 16);
    let heads = tensors_from_bytes(&fs::read(place.join("heads.safetensors")).unwrap()).unwrap();
    assert_eq!(heads["projector.linear_1.weight"].shape(), [16, 32]);
    assert_eq!(losses(folder.path()).len(), 8);
}

#[test]
fn another_recipe_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &recipe(&[])).unwrap());
    let error = open(folder.path(), &recipe(&["loss.temperature=0.3"])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("loss.temperature: 0.1 is now 0.3"),
        "{error}"
    );
}

fn refusal(folder: &Path, recipe: &Recipe) -> String {
    let error = open(folder, recipe).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn a_run_is_held_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path(), &recipe(&[])).unwrap();
    let error = refusal(folder.path(), &recipe(&[]));
    let process = format!("is in use by process {} on ", std::process::id());
    assert!(error.contains(&process), "{error}");
    drop(held);
    open(folder.path(), &recipe(&[])).unwrap();
}

/// As many images as the golden shards have, in a batch that is larger than an epoch.
#[test]
fn a_run_of_no_steps_says_of_what_there_are_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&["batch=4096", "duration.epochs=1", "warmup.steps=0"]);
    let error = refusal(folder.path(), &recipe);
    for part in ["1 epochs", "batches of 4096", "0 steps", "--set batch="] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!folder.path().join("recipe.toml").exists());
}

#[test]
fn a_warm_up_that_the_images_make_longer_than_the_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&["duration.steps=3", "warmup.epochs=100"]);
    assert!(refusal(folder.path(), &recipe).contains("and the run has 3"));
}

#[test]
fn other_images_are_refused_unless_they_are_accepted() {
    let [folder, data] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let recipe = recipe(&["heads.classes=100", "image_size=32"]);
    let with = |images: u32, other_data| {
        crate::loader::striped(data.path(), images);
        let options = RunOptions {
            other_data,
            ..OPTIONS
        };
        Run::open(folder.path(), data.path(), recipe, options)
    };
    drop(with(5, OtherData::Refuse).unwrap());
    drop(with(5, OtherData::Refuse).unwrap());
    let error = with(6, OtherData::Refuse).unwrap_err().to_string();
    assert!(
        error.contains("learned from 5 images, and these are 6"),
        "{error}"
    );
    drop(with(6, OtherData::Accept).unwrap());
    drop(with(6, OtherData::Refuse).unwrap());
}

/// Runs of older versions have no `run.json`.
#[test]
fn an_older_run_is_refused_and_its_weights_begin_another() {
    let [folder, next] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    finish(folder.path(), &recipe(&[]));
    fs::remove_file(folder.path().join("run.json")).unwrap();
    let error = refusal(folder.path(), &recipe(&[]));
    assert!(
        error.contains("is a run of an older version") && error.contains("--init"),
        "{error}"
    );
    let options = || RunOptions {
        init: Some(folder.path().to_owned()),
        ..OPTIONS
    };
    let data = directory().join("tfrecord");
    let mut run = Run::open(next.path(), &data, recipe(&["heads.classes=12"]), options()).unwrap();
    let place = run.save().unwrap();
    let (found, before) = (
        read(&place).unwrap(),
        read(&latest(folder.path()).unwrap().unwrap()).unwrap(),
    );
    let tensor = |state: &State, name: &str| state.tensors[name].tensor.clone();
    for name in [
        "conv1.weight",
        "projector.linear.weight",
        "predictor.linear_1.weight",
    ] {
        let old = tensor(&before, &format!("online.{name}"));
        for network in ["online", "target"] {
            assert_eq!(tensor(&found, &format!("{network}.{name}")), old, "{name}");
        }
    }
    // A head that does not fit starts anew.
    assert_eq!(tensor(&found, "online.classifier.weight").shape()[0], 12);
    assert_eq!(found.step, 0);
    let other = recipe(&["arch=resnet18"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let error = Run::open(elsewhere.path(), &data, other, options()).unwrap_err();
    assert!(error.to_string().contains("it is no resnet18"), "{error}");
}

/// What a killed process left of a line goes, and so does a line of a step that is taken again.
#[test]
fn metrics_are_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    finish(folder.path(), &recipe(&[]));
    let path = folder.path().join("metrics.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.clone() + "{\"step\":8,\"lo").unwrap();
    drop(open(folder.path(), &recipe(&[])).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    finish(folder.path(), &recipe(&["duration.steps=2"]));
    let path = folder.path().join("checkpoints/00000002/state.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = open(folder.path(), &recipe(&["duration.steps=2"]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("00000002") && error.contains("is not what was written"),
        "{error}"
    );
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&[
        "base_learning_rate=1e30",
        "warmup.steps=0",
        "optimizer.adamw.epsilon=1e-8",
    ]);
    let mut run = open(folder.path(), &recipe).unwrap();
    let error = loop {
        match run.step() {
            Ok(report) => assert!(report.is_some(), "the run ended"),
            Err(error) => break error,
        }
    };
    let RunError::Ill {
        illness: Illness::Diverged { .. },
        step,
        diagnosis,
    } = error
    else {
        panic!("{error}");
    };
    let batch =
        tensors_from_bytes(&fs::read(diagnosis.join("rank0.safetensors")).unwrap()).unwrap();
    assert_eq!(batch["view1.images"].shape(), [4, 3, 96, 96]);
    let about = fs::read(diagnosis.join("rank0.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    assert_eq!(about["step"], step);
    let broken = about["not_finite"].as_array().unwrap();
    assert!(
        !broken.is_empty()
            && broken
                .iter()
                .all(|name| !name.as_str().unwrap().contains("images"))
    );
}

/// No projection of 16 values spreads in 1000 directions.
#[test]
fn a_collapse_that_lasts_stops_the_run_with_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&["collapse.effective_rank=1000.0", "collapse.steps=3"]);
    let mut run = open(folder.path(), &recipe).unwrap();
    assert!(run.step().unwrap().is_some());
    assert!(run.step().unwrap().is_some());
    let error = run.step().unwrap_err();
    let RunError::Ill {
        illness:
            Illness::Collapsed {
                effective_rank,
                steps,
                ..
            },
        step: 2,
        diagnosis,
    } = error
    else {
        panic!("{error}");
    };
    assert!(
        steps == 3 && (1.0..=16.0).contains(&effective_rank),
        "{effective_rank}"
    );
    assert!(diagnosis.join("rank0.safetensors").is_file());
}

#[test]
fn the_best_checkpoint_stays_beside_the_last() {
    let folder = tempfile::tempdir().unwrap();
    for (step, score) in [(1, 0.1), (2, 0.9), (3, 0.3), (4, 0.5), (5, 0.4)] {
        let learner = recipe(&[]).learner(8, Device::Cpu).at_step(step);
        let snapshot = Snapshot::of(&learner, Some(score)).unwrap();
        write(folder.path(), snapshot, NonZeroUsize::new(2).unwrap()).unwrap();
    }
    let names = fs::read_dir(folder.path().join("checkpoints")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    assert_eq!(names, ["00000002", "00000004", "00000005"]);
    assert!(best(folder.path()).unwrap().unwrap().ends_with("00000002"));
    assert!(
        latest(folder.path())
            .unwrap()
            .unwrap()
            .ends_with("00000005")
    );
}
