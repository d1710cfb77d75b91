//! Segmentation heads and probes of a model directory, and what the server makes of a head.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use detcon_core::arch::Stage;
use detcon_core::checkpoint::{Tensors, tensors_from_bytes};
use detcon_core::image::{ImageLimits, decode};
use detcon_core::model::{HeadEntry, ModelDirectory, ModelName, file};
use detcon_core::preprocess::{Preprocess, Scratch};
use detcon_core::segment::{HeadKind, SegmentMap};
use detcon_tests::models;
use detcon_tests::service::Service;
use detcon_trainer::finetune::Confusion;
use detcon_trainer::frozen::FrozenModel;
use detcon_trainer::objects::draw_files;
use detcon_trainer::tensor::from_core;
use serde_json::Value;
use tch::{Device, Kind, Tensor, no_grad};

/// A store with an untrained model, and drawn objects.
struct Setup {
    store: tempfile::TempDir,
    model: PathBuf,
    drawn: tempfile::TempDir,
}

impl Setup {
    /// `images` images, with an object's pixels labelled 1 whatever its class.
    fn new(images: u64) -> Self {
        let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
        let store = tempfile::tempdir_in(target).unwrap();
        let model = models::link_into(store.path(), &models::imported("tiny", 0));
        let drawn = tempfile::tempdir().unwrap();
        draw_files(drawn.path(), images).unwrap();
        let setup = Self {
            store,
            model,
            drawn,
        };
        for label in files(&setup.labels()) {
            let map = read_label(&label);
            let ids = map.ids().iter().map(|&id| id.min(1)).collect();
            let map = SegmentMap::new(map.height(), map.width(), ids).unwrap();
            fs::write(label, map.to_png()).unwrap();
        }
        setup
    }

    fn images(&self) -> PathBuf {
        self.drawn.path().join("segmentation/images")
    }

    fn labels(&self) -> PathBuf {
        self.drawn.path().join("segmentation/labels")
    }

    fn finetune(&self, head: &str, more: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
        program.arg("finetune").arg(&self.model);
        program.arg("--images").arg(self.images());
        program.arg("--labels").arg(self.labels());
        let usual = [
            ["--head", head],
            ["--classes", "ground,object"],
            ["--size", "128"],
            ["--epochs", "12"],
            ["--lr", "0.01"],
        ];
        for option in usual.iter().filter(|option| !more.contains(&option[0])) {
            program.args(option);
        }
        program.args(more).output().unwrap()
    }

    /// The line in which it refuses.
    fn refusal(&self, head: &str, more: &[&str]) -> String {
        let output = self.finetune(head, more);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    fn entry(&self, head: &str) -> HeadEntry {
        let model = ModelDirectory::open(&self.model).unwrap();
        model.manifest().segmentation_heads[&name(head)].clone()
    }
}

fn name(text: &str) -> ModelName {
    ModelName::try_from(text.to_owned()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read_label(path: &Path) -> SegmentMap {
    SegmentMap::from_png(&fs::read(path).unwrap(), &ImageLimits::default()).unwrap()
}

/// The classes that libtorch gives an image, step for step with its own operations.
fn argmax(
    model: &mut FrozenModel,
    entry: &HeadEntry,
    tensors: &Tensors,
    image: &[u8],
) -> SegmentMap {
    let image = decode(image, &ImageLimits::default()).unwrap();
    let view = Preprocess::center_crop(entry.size).unwrap();
    let input = view.whole(&image, &mut Scratch::default());
    let (height, width) = (image.height(), image.width());
    let ids = no_grad(|| {
        let mut x = model.features(&[&input], entry.stage);
        let tensor = |name: &str| from_core(&tensors[name], Device::Cpu);
        let convolved = |x: &Tensor, [weight, bias]: [&str; 2], padding: i64| {
            x.conv2d(
                &tensor(weight),
                Some(tensor(bias)),
                [1, 1],
                [padding; 2],
                [1, 1],
                1,
            )
        };
        if entry.kind == HeadKind::Fcn {
            x = convolved(&x, HeadKind::HIDDEN, 1).relu();
        }
        let scores = convolved(&x, HeadKind::CLASSIFIER, 0);
        let size = [i64::from(height), i64::from(width)];
        scores
            .upsample_bilinear2d(size, false, None, None)
            .argmax(1, false)
    });
    let ids = Vec::<i64>::try_from(&ids.flatten(0, -1)).unwrap();
    let ids = ids.into_iter().map(|id| u16::try_from(id).unwrap());
    SegmentMap::new(height, width, ids.collect()).unwrap()
}

/// A head that knows objects from their ground, measured as it says, and served as it was trained.
#[test]
fn heads_that_are_trained_are_served_as_the_trainer_computes_them() {
    let setup = Setup::new(100);
    for (head, options) in [
        ("linear", &["--kind", "linear", "--features", "c4"][..]),
        ("fcn", &["--kind", "fcn", "--features", "c4"]),
        (
            "coarse",
            &["--kind", "linear", "--features", "c5", "--epochs", "3"],
        ),
    ] {
        let output = setup.finetune(head, options);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        println!("{head}: {}", String::from_utf8_lossy(&output.stdout));
    }
    // All of an image is ground: the better of the two answers that do not look.
    let mut blind = Confusion::new(2);
    for label in files(&setup.labels()) {
        let truth = read_label(&label);
        let ground = vec![0; truth.ids().len()];
        blind.add(
            &truth,
            &SegmentMap::new(truth.height(), truth.width(), ground).unwrap(),
        );
    }
    let quality = setup.entry("fcn").quality.unwrap();
    assert_eq!((quality.images, quality.class_iou.len()), (20, 2));
    let blind = blind.mean_iou();
    assert!(
        quality.mean_iou > blind + 0.15,
        "{} and blind {blind}",
        quality.mean_iou
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(Service::start(setup.store.path(), &[]));
    let client = detcon_tests::service::client();
    let mut model = FrozenModel::open(&setup.model, Device::Cpu).unwrap();
    for head in ["linear", "fcn", "coarse"] {
        let entry = setup.entry(head);
        let tensors = fs::read(setup.model.join(file::head(&name(head)))).unwrap();
        let tensors = tensors_from_bytes(&tensors).unwrap();
        let (mut same, mut pixels) = (0, 0);
        for image in files(&setup.images()).into_iter().take(10) {
            let image = fs::read(image).unwrap();
            let expected = argmax(&mut model, &entry, &tensors, &image);
            let url = service.url(&format!("/v1/segmentations?method=head:{head}"));
            let request = client.post(url).header("content-type", "image/jpeg");
            let served = runtime.block_on(async {
                let answer = request.body(image).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap()
            });
            let served = SegmentMap::from_png(&served, &ImageLimits::default()).unwrap();
            pixels += served.ids().len();
            let pairs = served.ids().iter().zip(expected.ids());
            same += pairs
                .filter(|(served, expected)| served == expected)
                .count();
        }
        println!("{head}: {same} of {pixels} pixels");
        assert!(same * 1000 >= pixels * 995, "{head}: {same} of {pixels}");
    }
    runtime.block_on(service.stop());
}

#[test]
fn labels_and_heads_that_cannot_be_used_are_one_line_each() {
    let setup = Setup::new(6);
    let before = ModelDirectory::open(&setup.model).unwrap();
    for (options, reason) in [
        (&["--classes", "ground"][..], "is no file, and no list"),
        (&["--classes", "a,a"], "\"a\" is there twice"),
        (&["--lr", "0"], "--lr: 0 is not above 0"),
        (
            &["--validation-share", "1"],
            "--validation-share: 1 is not between",
        ),
        (&["--head", "../voc"], "--head \"../voc\": use letters"),
    ] {
        let said = setup.refusal("voc", options);
        assert!(said.contains(reason), "{said}");
    }
    let labels = files(&setup.labels());
    let whole = fs::read(&labels[2]).unwrap();
    let map = read_label(&labels[2]);
    let (height, width) = (map.height(), map.width());
    let mut strange = map.ids().to_vec();
    strange[usize::try_from(width).unwrap() + 3] = 7;
    let strange = SegmentMap::new(height, width, strange).unwrap().to_png();
    let small = SegmentMap::new(1, width, vec![0; width as usize])
        .unwrap()
        .to_png();
    for (bytes, reason) in [
        (
            &strange,
            "holds the id 7 at row 1, column 3: there are 2 classes",
        ),
        (&small, "is 128x1 pixels and its image 128x128"),
        (
            &whole[..40].to_vec(),
            "000002.png: The label map is no readable PNG",
        ),
    ] {
        fs::write(&labels[2], bytes).unwrap();
        let said = setup.refusal("voc", &[]);
        assert!(said.contains(reason), "{said}");
    }
    fs::remove_file(&labels[2]).unwrap();
    let said = setup.refusal("voc", &[]);
    assert!(
        said.contains("1 of the images in") && said.contains("--skip-unlabelled"),
        "{said}"
    );
    assert_eq!(
        ModelDirectory::open(&setup.model).unwrap().digest(),
        before.digest()
    );

    let output = setup.finetune("voc", &["--skip-unlabelled", "--epochs", "1"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(setup.entry("voc").quality.unwrap().images, 1);
    let said = setup.refusal("voc", &["--skip-unlabelled"]);
    assert!(said.contains("has a head voc already"), "{said}");
    let again = [
        "--skip-unlabelled",
        "--epochs",
        "1",
        "--replace",
        "--kind",
        "fcn",
    ];
    assert!(setup.finetune("voc", &again).status.success());
    assert_eq!(setup.entry("voc").kind, HeadKind::Fcn);
    for image in files(&setup.images()) {
        fs::remove_file(image).unwrap();
    }
    let said = setup.refusal("ade", &[]);
    assert!(said.contains("images holds no image"), "{said}");
}

/// Embeddings of every image in a folder of class folders, with the classes' numbers.
fn embeddings(model: &mut FrozenModel, folder: &Path) -> Vec<(Vec<f64>, usize)> {
    let view = model.directory().manifest().preprocess;
    let mut found = Vec::new();
    for class_folder in files(folder) {
        let known = files(&folder.with_file_name("train"));
        let class = known
            .iter()
            .position(|it| it.file_name() == class_folder.file_name());
        for image in files(&class_folder) {
            let image = decode(&fs::read(image).unwrap(), &ImageLimits::default()).unwrap();
            let features = model.features(&[&view.apply(&image)], Stage::C5);
            let pooled = features.mean_dim([2, 3].as_slice(), false, Kind::Double);
            found.push((
                Vec::try_from(&pooled.flatten(0, -1)).unwrap(),
                class.unwrap(),
            ));
        }
    }
    found
}

/// Every vector against every other, in float64.
fn brute_force(known: &[(Vec<f64>, usize)], asked: &[(Vec<f64>, usize)], top: usize) -> f64 {
    let length = |vector: &[f64]| vector.iter().map(|it| it * it).sum::<f64>().sqrt();
    let right = asked.iter().filter(|(vector, class)| {
        let cosine = |other: &[f64]| {
            let product: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            product / (length(vector) * length(other))
        };
        let mut near: Vec<_> = known
            .iter()
            .map(|(other, class)| (cosine(other), *class))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut votes = [0.0; 12];
        for (cosine, class) in &near[..20] {
            votes[*class] += (cosine / 0.07).exp();
        }
        let better = votes.iter().filter(|&&it| it > votes[*class]).count();
        votes[*class] > 0.0 && better < top
    });
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let share = right.count() as f64 / asked.len() as f64;
    share
}

#[test]
fn nearest_neighbours_are_those_of_brute_force_and_the_report_is_json() {
    let setup = Setup::new(250);
    let classes = setup.drawn.path().join("classes");
    let (train, test) = (classes.join("train"), classes.join("test"));
    let output = setup.drawn.path().join("probe.json");
    let probe = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
        program
            .arg("probe")
            .arg(&setup.model)
            .args(["--epochs", "20"]);
        program.arg("--train").arg(&train).arg("--test").arg(&test);
        program.arg("--output").arg(&output).output().unwrap()
    };
    let said = probe();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let report: Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
    assert_eq!(
        report,
        serde_json::from_slice::<Value>(&said.stdout).unwrap()
    );
    println!("{report:#}");
    let mut model = FrozenModel::open(&setup.model, Device::Cpu).unwrap();
    assert_eq!(report["digest"], model.directory().digest());
    assert_eq!(
        (&report["train_images"], &report["test_images"]),
        (&200.into(), &50.into())
    );
    let [known, asked] = [&train, &test].map(|folder| embeddings(&mut model, folder));
    for (figure, top) in [("top1", 1), ("top5", 5)] {
        let found = report["knn"][figure].as_f64().unwrap();
        let expected = brute_force(&known, &asked, top);
        assert!(
            (found - expected).abs() < 1e-9,
            "{figure}: {found} and {expected}"
        );
        let linear = report["linear"][figure].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&linear), "{report}");
    }

    fs::create_dir(test.join("hexagon")).unwrap();
    let image = files(&files(&train)[0])[0].clone();
    fs::copy(image, test.join("hexagon/0.jpg")).unwrap();
    let said = String::from_utf8(probe().stderr).unwrap();
    assert!(said.contains("\"hexagon\" is a folder of --test"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
