use std::path::{Path, PathBuf};

use detcon_trainer::recipe::{Method, OptimizerSettings, Recipe, Span};

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn refusal(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|&it| it.to_owned()).collect();
    let error = Recipe::parse(text, &overrides).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn every_shipped_recipe_is_one() {
    for path in shipped() {
        Recipe::read(&path, &[]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The recipe that documents the defaults lists every key, and each with its default.
#[test]
fn the_documented_defaults_are_the_defaults() {
    let path = shipped()
        .into_iter()
        .find(|path| path.ends_with("imagenet-1000.toml"))
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let documented: toml::Table = toml::from_str(&text).unwrap();
    let defaults: toml::Table = toml::from_str(&Recipe::default().to_toml().unwrap()).unwrap();
    assert_eq!(keys(&documented), keys(&defaults));
    assert_eq!(Recipe::parse(&text, &[]).unwrap(), Recipe::default());
}

fn keys(table: &toml::Table) -> Vec<String> {
    let mut keys: Vec<String> = table
        .iter()
        .flat_map(|(key, value)| match value {
            toml::Value::Table(inner) => keys(inner)
                .into_iter()
                .map(|it| format!("{key}.{it}"))
                .collect(),
            _ => vec![key.clone()],
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn what_is_written_reads_back_as_it_was() {
    let recipe = Recipe::parse("", &["optimizer.adamw.weight_decay=0.01".to_owned()]).unwrap();
    assert_eq!(
        Recipe::parse(&recipe.to_toml().unwrap(), &[]).unwrap(),
        recipe
    );
}

#[test]
fn overrides_stand_in_place_of_what_the_recipe_says() {
    let overrides = [
        "loss.temperature=0.2",
        "duration.steps=7",
        "method=detcon-s",
        "optimizer.adamw.epsilon=1e-6",
    ];
    let overrides = overrides.map(str::to_owned);
    let recipe = Recipe::parse("batch = 8\n[loss]\ntemperature = 0.3", &overrides).unwrap();
    assert!((recipe.loss.temperature - 0.2).abs() < 1e-12);
    assert_eq!(
        (recipe.batch, recipe.duration, recipe.method),
        (8, Span::Steps(7), Method::DetConS)
    );
    assert!(matches!(recipe.optimizer, OptimizerSettings::AdamW(it) if it.epsilon < 2e-6));
}

/// What the recipe chooses, another choice replaces; settings of one choice add up.
#[test]
fn an_override_replaces_a_choice_and_keeps_what_else_a_table_says() {
    let overrides = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    let text = "duration = { epochs = 5 }\nwarmup = { epochs = 1 }\n[crop]\narea = [0.5, 1.0]";
    let list = overrides(&[
        "duration.steps=10",
        "warmup.steps=2",
        "crop.aspect=[1.0,1.0]",
    ]);
    let recipe = Recipe::parse(text, &list).unwrap();
    assert_eq!(
        (recipe.duration, recipe.warmup),
        (Span::Steps(10), Span::Steps(2))
    );
    assert!((recipe.crop.area[0] - 0.5).abs() < 1e-12);
    let list = overrides(&[
        "optimizer.adamw.weight_decay=0.5",
        "optimizer.adamw.epsilon=1e-6",
    ]);
    let recipe = Recipe::parse("", &list).unwrap();
    assert!(
        matches!(recipe.optimizer, OptimizerSettings::AdamW(it) if it.epsilon < 2e-6 && it.weight_decay > 0.4)
    );
}

/// Each setting has values that no run could have.
#[test]
fn every_setting_is_checked() {
    for (assignment, key) in [
        ("batch=0", "batch"),
        ("batch=9000000000000000000", "batch"),
        ("parts=3", "parts"),
        ("image_size=0", "image_size"),
        ("mask_samples=0", "mask_samples"),
        ("heads.hidden=0", "heads.hidden"),
        ("base_learning_rate=nan", "base_learning_rate"),
        ("base_learning_rate=inf", "base_learning_rate"),
        ("target_decay=1.5", "target_decay"),
        ("duration.steps=0", "duration"),
        ("duration.epochs=0", "duration"),
        ("warmup.epochs=-1", "warmup"),
        ("loss.temperature=0", "loss.temperature"),
        ("loss.temperature=inf", "loss.temperature"),
        (
            "optimizer.lars.weight_decay=-1",
            "optimizer.lars.weight_decay",
        ),
        ("optimizer.lars.momentum=1", "optimizer.lars.momentum"),
        ("optimizer.lars.eta=0", "optimizer.lars.eta"),
        ("optimizer.adamw.betas=[0.9,1.0]", "optimizer.adamw.betas"),
        ("optimizer.adamw.epsilon=0", "optimizer.adamw.epsilon"),
        ("masks.scale=-1", "masks.scale"),
        ("masks.sigma=nan", "masks.sigma"),
        ("collapse.deviation=-1", "collapse.deviation"),
        ("crop.area=[0.0,1.0]", "crop.area"),
        ("crop.aspect=[1.0,inf]", "crop.aspect"),
        ("first_view.strengths=[-1.0,0,0,0]", "first_view.strengths"),
        (
            "second_view.strengths=[0.4,1.5,0.2,0.1]",
            "second_view.strengths",
        ),
        ("first_view.sigma=[2.0,0.1]", "first_view.sigma"),
        ("second_view.sigma=[0.0,1.0]", "second_view.sigma"),
        ("second_view.threshold=2", "second_view.threshold"),
    ] {
        let said = refusal("", &[assignment]);
        assert!(
            said.starts_with(&format!("{key} is ")),
            "{assignment}: {said}"
        );
    }
    let said = refusal("method = 'detcon-s'", &["training_mode=supervised"]);
    assert!(said.starts_with("training_mode is "), "{said}");
}

/// As upstream counts them: 1281167 images, cut.
#[test]
fn epochs_become_upstreams_steps() {
    let recipe = Recipe::parse("duration.epochs = 100\nwarmup.epochs = 1", &[]).unwrap();
    assert_eq!(
        (
            recipe.steps(1_281_167),
            recipe.warmup.steps(1_281_167, 4096)
        ),
        (31_278, 312)
    );
}

#[test]
fn what_no_recipe_has_is_refused_by_name() {
    assert!(refusal("batchsize = 4", &[]).contains("unknown field `batchsize`"));
    assert!(refusal("[loss]\ntemprature = 1", &[]).contains("temprature"));
    assert!(refusal("arch = 'resnet51'", &[]).contains("no architecture is called \"resnet51\""));
    assert!(refusal("padding = 'valid'", &[]).contains("padding"));
    assert!(refusal("arch = 'resnet50+symmetric'", &[]).contains("by the key padding"));
    assert!(refusal("", &["loss"]).contains("write KEY=VALUE"));
    assert!(refusal("batch = 4", &["batch.size=3"]).contains("batch.size=3"));
    assert!(refusal("", &["loss.temperature=-1"]).contains("loss.temperature is -1"));
    assert!(refusal("", &["first_view.blur=2"]).contains("first_view.blur is 2"));
    assert!(refusal("", &["warmup.epochs=2000"]).contains("must not be longer than duration"));
    assert!(refusal("", &["crop.area=[0.5,0.1]"]).contains("crop.area"));
    assert!(
        refusal(
            "optimizer.lars.momentum = 0.5\noptimizer.adamw.epsilon = 1",
            &[]
        )
        .contains("optimizer")
    );
}

/// The table of docs/training.md: every key in the first column, its default in the second.
#[test]
fn the_documentation_lists_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/training.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| key | default |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let assignment = |row: &str| {
        let mut cells = row.trim_matches('|').split('|').map(cell);
        let (key, value) = (cells.next().unwrap(), cells.next().unwrap());
        format!("{key} = {value}")
    };
    let documented: Vec<String> = rows.map(assignment).collect();
    let documented: toml::Table = documented.join("\n").parse().unwrap();
    let defaults: toml::Table = Recipe::default().to_toml().unwrap().parse().unwrap();
    assert_eq!(documented, defaults);
}
