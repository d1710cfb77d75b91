//! What a step needs in memory, estimated before it is taken, and what the machine has.
//!
//! Counted is what autograd keeps of two views until they are differentiated: of each convolution what its batch norm
//! read and what follows it, and copies that are padded; then the heads, the loss, the networks with what the optimizer
//! remembers, once more and once as bytes while a checkpoint is written, and what comes and goes in the largest layer.
//! Its constants were fitted to the most that four runs took on a CPU, of ResNet-18 and ResNet-50, in float32 and in
//! bfloat16. It is an outlook, not a bound: other depths, devices and versions of libtorch were not measured.

use std::fs;
use std::path::Path;

use detcon_core::arch::{Conv, ResNetSpec};

use crate::learner::Precision;
use crate::network::table;
use crate::recipe::{Method, OptimizerSettings, Recipe};

/// Bytes of a float32.
const FLOAT: u64 = 4;
/// Largest matrix of logits, and how many of its size a step holds: two for each view, both as one, and their gradients.
const LOGITS: u64 = 64 << 20;
const LOGIT_MATRICES: u64 = 12;
/// Tensors of the largest layer that come and go: its gradients, and what is rearranged on the way.
const PASSING: u64 = 7;
/// Batches of views that wait for their step, one byte a value.
const WAITING: u64 = 4;
/// The program and libtorch.
const PROGRAM: u64 = 300 << 20;

/// Bytes that a rank's step takes, about.
#[must_use]
pub fn of_step(recipe: &Recipe, ranks: u64) -> u64 {
    let share = recipe.batch / ranks.max(1);
    let images = share / u64::from(recipe.parts);
    let float = match recipe.precision {
        Precision::Float32 => FLOAT,
        Precision::BFloat16 => FLOAT / 2,
    };
    let layers = Layers::of(recipe.spec(), u64::from(recipe.image_size));
    let features = images * float * (2 * layers.kept + PASSING * layers.largest);
    let [inputs, hidden, outputs] = [
        recipe.spec().embedding_size(),
        recipe.heads.hidden,
        recipe.heads.projection,
    ]
    .map(|size| size as u64);
    let regions = images * recipe.mask_samples as u64;
    let heads = match recipe.method {
        Method::DetConB => 2,
        Method::DetConS => 1,
    };
    let vectors = 2 * regions * FLOAT * (inputs + heads * (2 * hidden + 2 * outputs));
    let logits = regions * regions * ranks * FLOAT;
    let side = u64::from(recipe.image_size);
    let pixels = 3 * side * side * share * 2 * (FLOAT + WAITING);
    PROGRAM + features + vectors + LOGIT_MATRICES * logits.min(LOGITS) + pixels + networks(recipe)
}

/// Gradients; and online, target and what the optimizer remembers, of which a checkpoint is a copy that becomes bytes.
fn networks(recipe: &Recipe) -> u64 {
    let rows = table(recipe.spec(), &recipe.heads());
    let weights: usize = rows
        .iter()
        .map(|row| row.shape.iter().product::<usize>())
        .sum();
    let remembered = match recipe.optimizer {
        OptimizerSettings::Lars(_) => 1,
        OptimizerSettings::AdamW(_) => 2,
    };
    let targets = match recipe.method {
        Method::DetConB => 1,
        Method::DetConS => 0,
    };
    weights as u64 * FLOAT * (1 + 3 * (1 + targets + remembered))
}

/// Values of one view of one image.
struct Layers {
    /// That are kept until they are differentiated.
    kept: u64,
    /// Of the largest layer.
    largest: u64,
}

impl Layers {
    fn of(spec: ResNetSpec, side: u64) -> Self {
        let mut kept = 0;
        let mut side = side;
        // A convolution keeps a padded copy of its input where SAME padding is uneven.
        let mut conv = |conv: Conv, side: u64| {
            let input = conv.inputs as u64 * side * side;
            let side = side.div_ceil(conv.stride as u64);
            if conv.stride > 1 && conv.kernel > 1 {
                kept += input;
            }
            (side, conv.outputs as u64 * side * side)
        };
        let (half, stem) = conv(spec.stem(), side);
        side = half.div_ceil(2);
        let mut kept_whole = vec![stem; 3];
        // The max pool's places, of twice the bytes.
        kept_whole.push(2 * spec.stem().outputs as u64 * side * side);
        for block in spec.blocks() {
            if let Some(shortcut) = block.shortcut {
                kept_whole.push(conv(shortcut, side).1);
            }
            for &one in &block.convs {
                let (after, values) = conv(one, side);
                side = after;
                kept_whole.extend([values; 2]);
            }
        }
        let largest = kept_whole.iter().copied().max().unwrap_or(0);
        Self {
            kept: kept + kept_whole.iter().sum::<u64>(),
            largest,
        }
    }
}

/// Bytes that the machine has left, or this process's group of processes where that has a limit.
#[must_use]
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = machine
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = machine
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        * 1024;
    Some(group_limit().map_or(machine, |limit| machine.min(limit)))
}

/// What control groups (version 2) leave of their limit.
fn group_limit() -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// What to say of a step's memory before the first: how much it takes, and where that is more than `available`, what
/// helps.
#[must_use]
pub fn outlook(recipe: &Recipe, ranks: u64, available: Option<u64>) -> String {
    let needed = of_step(recipe, ranks);
    let takes = format!("a step takes about {}", gigabytes(needed));
    let Some(available) = available.filter(|&available| available < needed) else {
        return takes;
    };
    let available_said = gigabytes(available);
    let mut said = vec![format!(
        "{takes} of memory, and {available_said} are free: it may be killed"
    )];
    let share = recipe.batch / ranks.max(1);
    let parted = (2..=share).filter(|parts| share.is_multiple_of(*parts));
    let mut parted = parted.filter_map(|parts| {
        let parts = u32::try_from(parts).ok()?;
        Some(Recipe { parts, ..*recipe }).filter(|it| of_step(it, ranks) < available)
    });
    said.extend(parted.next().map(|it| {
        let needed = gigabytes(of_step(&it, ranks));
        format!("--set parts={} takes {needed}", it.parts)
    }));
    if recipe.precision == Precision::Float32 {
        let precision = Precision::BFloat16;
        let half = Recipe {
            precision,
            ..*recipe
        };
        let needed = gigabytes(of_step(&half, ranks));
        said.push(format!("--set precision=bfloat16 takes {needed}"));
    }
    said.join("; ")
}

fn gigabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are said")]
    let gigabytes = bytes as f64 / 1e9;
    format!("{gigabytes:.1} GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_less_is_told_what_helps() {
        let recipe = Recipe::parse("batch = 64\narch = 'resnet18'", &[]).unwrap();
        let needed = of_step(&recipe, 1);
        assert!(!outlook(&recipe, 1, Some(needed + 1)).contains("free"));
        assert!(!outlook(&recipe, 1, None).contains("free"));
        let said = outlook(&recipe, 1, Some(needed * 2 / 3));
        assert!(
            said.contains("--set parts=2 takes") && said.contains("bfloat16"),
            "{said}"
        );
        assert!(available().is_some());
    }

    /// Bytes of a step of two ranks.
    fn taken(overrides: &[&str]) -> u64 {
        let overrides: Vec<String> = overrides.iter().map(|&it| it.to_owned()).collect();
        let recipe = Recipe::parse("batch = 64\narch = 'resnet18'", &overrides).unwrap();
        of_step(&recipe, 2)
    }

    /// Whatever the constants are: what is more work to hold takes more, and what saves memory takes less.
    #[test]
    fn more_of_anything_takes_more() {
        for rising in [
            ["batch=32", "batch=64", "batch=128"],
            ["image_size=96", "image_size=160", "image_size=224"],
            ["arch=resnet18", "arch=resnet34", "arch=resnet34x2"],
            ["arch=resnet50", "arch=resnet101", "arch=resnet200"],
            ["mask_samples=8", "mask_samples=16", "mask_samples=32"],
            ["heads.hidden=512", "heads.hidden=2048", "heads.hidden=4096"],
            [
                "heads.projection=64",
                "heads.projection=256",
                "heads.projection=512",
            ],
            ["parts=4", "parts=2", "parts=1"],
        ] {
            let taken = rising.map(|setting| taken(&[setting]));
            assert!(taken.is_sorted_by(|a, b| a < b), "{rising:?}: {taken:?}");
        }
        for [less, more] in [
            ["precision=bfloat16", "precision=float32"],
            ["method=detcon-s", "method=detcon-b"],
            [
                "optimizer.lars.momentum=0.9",
                "optimizer.adamw.weight_decay=0.1",
            ],
        ] {
            assert!(taken(&[less]) < taken(&[more]), "{less} and {more}");
        }
    }

    /// Ranks share the images, and each has the networks.
    #[test]
    fn ranks_take_less_each_and_more_together() {
        let recipe = Recipe::parse("batch = 64\narch = 'resnet18'", &[]).unwrap();
        let taken = [1, 2, 4].map(|ranks| of_step(&recipe, ranks));
        assert!(taken.is_sorted_by(|a, b| a > b), "{taken:?}");
        assert!(
            taken[0] < 2 * taken[1] && taken[1] < 2 * taken[2],
            "{taken:?}"
        );
        assert!(taken[2] > networks(&recipe));
    }
}
