use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use detcon_tests::golden::directory;
use detcon_trainer::random::{below, stream};
use detcon_trainer::run::{latest, read};
use serde_json::Value;

use crate::loader::{damage_first, striped};

fn detcon_train(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.args(arguments).output().unwrap()
}

#[test]
fn sanity_takes_a_step_of_either_method() {
    for method in ["detcon-b", "detcon-s"] {
        let method = format!("method={method}");
        let output = detcon_train(&[
            "sanity",
            "--set",
            "arch=tiny",
            "--set",
            "image_size=96",
            "--set",
            &method,
        ]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("tiny 96 batch 4: loss "), "{said}");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_one_line_that_names_it() {
    let output = detcon_train(&["sanity", "--set", "lossy=1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("unknown field `lossy`") && said.lines().count() == 1,
        "{said}"
    );
}

/// The first signal after the first step: the step that it meets is the last, and it is saved.
#[test]
fn a_run_that_is_told_to_stop_saves_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/tiny.toml");
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.args(["pretrain", "--set", "duration.steps=100000", "--recipe"]);
    program
        .arg(recipe)
        .arg("--data")
        .arg(directory().join("tfrecord"));
    program
        .arg("--run")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let running = program.spawn().unwrap();
    let metrics = folder.path().join("metrics.jsonl");
    while std::fs::metadata(&metrics).map_or(0, |file| file.len()) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .arg(running.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.starts_with("stopped after "),
        "{said}"
    );
    let taken = std::fs::read_to_string(metrics).unwrap().lines().count();
    let saved = folder
        .path()
        .join(format!("checkpoints/{taken:08}/state.json"));
    assert!(saved.is_file(), "no {}", saved.display());
}

/// `pretrain` with `tiny`, as a process.
fn pretrain(run: &Path, arguments: &[&str]) -> Command {
    pretrain_on(&directory().join("tfrecord"), run, arguments)
}

/// The same on other images.
fn pretrain_on(data: &Path, run: &Path, arguments: &[&str]) -> Command {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/tiny.toml");
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.arg("pretrain").arg("--recipe").arg(recipe);
    program.arg("--data").arg(data).arg("--run").arg(run);
    // Sums in parallel could be taken in another order.
    program.args(arguments).env("OMP_NUM_THREADS", "1");
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// The same on two ranks.
fn two_ranks(run: &Path, arguments: &[&str]) -> [Child; 2] {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    [0, 1].map(|rank| {
        let mut program = pretrain(run, arguments);
        program.args(["--world-size", "2", "--rank", &rank.to_string()]);
        program
            .args(["--master-port", &port.to_string()])
            .spawn()
            .unwrap()
    })
}

fn lines(run: &Path) -> usize {
    std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// Step and loss of each line of a run's metrics.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (
            line["step"].as_u64().unwrap(),
            line["loss"].as_f64().unwrap(),
        )
    };
    text.lines().map(line).collect()
}

#[test]
fn two_ranks_train_as_one_does() {
    let [alone, together] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    assert!(
        pretrain(alone.path(), &[])
            .output()
            .unwrap()
            .status
            .success()
    );
    for rank in two_ranks(together.path(), &[]) {
        let output = rank.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let (alone, together) = (losses(alone.path()), losses(together.path()));
    assert_eq!(alone.len(), together.len());
    for ((step, one), (also, two)) in alone.into_iter().zip(together) {
        assert_eq!(step, also);
        assert!(
            (one - two).abs() <= 1e-5 * one.abs(),
            "step {step}: {one} and {two}"
        );
    }
}

/// Of either rank: the first also serves the place where they meet.
#[test]
fn a_rank_that_is_killed_stops_the_others_with_its_number() {
    for killed in [1, 0] {
        let folder = tempfile::tempdir().unwrap();
        let ranks = two_ranks(
            folder.path(),
            &["--set", "duration.steps=100000", "--silence", "15"],
        );
        while lines(folder.path()) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut ranks = ranks.into_iter().collect::<Vec<_>>();
        let mut gone = ranks.remove(killed);
        gone.kill().unwrap();
        gone.wait().unwrap();
        let begin = Instant::now();
        let left = ranks.remove(0).wait_with_output().unwrap();
        assert!(begin.elapsed() < Duration::from_mins(1));
        let said = String::from_utf8_lossy(&left.stderr);
        let expected = format!("rank {killed} of 2 no longer answers");
        assert_eq!(left.status.code(), Some(1));
        let progress = |line: &&str| line.starts_with("step ") || line.starts_with("a step takes ");
        let failure: Vec<_> = said.lines().filter(|line| !progress(line)).collect();
        assert!(
            matches!(failure[..], [one] if one.contains(&expected)),
            "{said}"
        );
    }
}

#[test]
fn a_run_without_a_terminal_says_in_lines_how_far_it_is_and_at_the_end_what_it_passed_over() {
    let (data, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    striped(data.path(), 100);
    damage_first(data.path());
    let settings = [
        "--set",
        "batch=20",
        "--set",
        "duration.steps=6",
        "--set",
        "image_size=32",
        "--set",
        "heads.classes=100",
    ];
    let output = pretrain_on(data.path(), run.path(), &settings)
        .output()
        .unwrap();
    let [said, told] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(output.status.success(), "{told}");
    let told: Vec<_> = told.lines().collect();
    assert!(told[0].starts_with("a step takes about "), "{told:?}");
    assert!(told[1].starts_with("step 1 of 6: loss "), "{told:?}");
    assert!(
        told[1].contains(" (floor ") && told[1].contains(", chance "),
        "{told:?}"
    );
    assert!(
        told[told.len() - 1].starts_with("step 6 of 6: "),
        "{told:?}"
    );
    assert!(
        said.contains("damaged images that were passed over: 1\n  "),
        "{said}"
    );
    assert!(said.contains("checksum"), "{said}");
    let metrics = std::fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["skipped"], 1);
}

/// As a scheduler that takes the machine away without asking, at whatever moment.
#[test]
fn ten_runs_killed_at_random_end_bit_for_bit_as_one_that_was_not() {
    let arguments = ["--set", "duration.steps=24", "--checkpoint-every", "5"];
    let state =
        |run: &Path| std::fs::read(run.join("checkpoints/00000024/state.safetensors")).unwrap();
    let straight = tempfile::tempdir().unwrap();
    assert!(
        pretrain(straight.path(), &arguments)
            .output()
            .unwrap()
            .status
            .success()
    );
    let expected = state(straight.path());
    let mut random = stream(7, "kill", &[]);
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let last = below(24, &mut random);
        let mut running = pretrain(folder.path(), &arguments).spawn().unwrap();
        while lines(folder.path()) < last && running.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        let output = pretrain(folder.path(), &arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            state(folder.path()) == expected,
            "killed after {last} steps"
        );
    }
}

/// A limit on the length of files stands for a full disk: half a checkpoint, then no more.
#[test]
fn a_full_disk_ends_no_run_and_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--set", "duration.steps=2", "--checkpoint-every", "2"];
    assert!(
        pretrain(folder.path(), &arguments)
            .output()
            .unwrap()
            .status
            .success()
    );
    // The run as it would be with a longer recipe.
    let recipe = folder.path().join("recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("steps = 2\n", "steps = 6\n")).unwrap();
    let text = std::fs::read_to_string(&recipe).unwrap();
    assert!(text.contains("[duration]\nsteps = 6"), "{text}");
    let longer = pretrain(
        folder.path(),
        &[
            "--set",
            "duration.steps=6",
            "--set",
            "warmup.steps=6",
            "--checkpoint-every",
            "1",
        ],
    );
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]);
    limited
        .arg(longer.get_program())
        .args(longer.get_args())
        .env("OMP_NUM_THREADS", "1");
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("training goes on"), "{said}");
    assert_eq!(lines(folder.path()), 6, "{said}");
    assert_eq!(
        output.status.code(),
        Some(1),
        "the last checkpoint could not be written"
    );
    let kept = latest(folder.path()).unwrap().unwrap();
    assert!(kept.ends_with("00000002"), "{}", kept.display());
    assert_eq!(read(&kept).unwrap().step, 2);
}

#[test]
fn a_device_that_is_not_there_is_one_line_that_says_what_to_do() {
    let output = detcon_train(&[
        "sanity",
        "--device",
        "cuda",
        "--set",
        "arch=tiny",
        "--set",
        "image_size=64",
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("--device cpu") && said.lines().count() == 1,
        "{said}"
    );
}
