//! `detcon-train sanity`: upstream's `test.sh`.

use std::time::Instant;

use clap::Args;
use detcon_trainer::learner::{Batch, View};
use detcon_trainer::objective::{Regions, draw_ids};
use detcon_trainer::random::{below, stream};
use detcon_trainer::recipe::Recipe;
use tch::{Device, Kind, Tensor};

use super::ranks::DeviceArguments;

/// Segments of a mock image.
const SEGMENTS: usize = 16;
/// Pixels of a cell's side.
const STRIDE: u32 = 32;

#[derive(Args)]
#[command(after_long_help = include_str!("../help/sanity.txt"))]
pub(crate) struct Arguments {
    /// Settings in place of upstream's, with a batch of 4: KEY=VALUE, as in arch=resnet18.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let recipe = Recipe::parse("batch = 4", &arguments.set)?;
    let device = arguments.device.open(0)?;
    let begin = Instant::now();
    let mut learner = recipe.learner(recipe.batch, device);
    let batch = mock(&recipe)?.to_device(device);
    let ready = begin.elapsed();
    let logs = learner.step(&batch)?;
    let step = begin.elapsed().saturating_sub(ready);
    anyhow::ensure!(
        logs.loss.is_finite(),
        "the loss is {}: training does not work here",
        logs.loss
    );
    println!(
        "{} {} batch {}: loss {:.4} (contrast {:.4}, classification {:.4}); start {:.1} s, step {:.1} s",
        recipe.spec(),
        recipe.image_size,
        recipe.batch,
        logs.loss,
        logs.contrast,
        logs.classification,
        ready.as_secs_f64(),
        step.as_secs_f64(),
    );
    Ok(())
}

/// Noise with random segments, the same for the same seed.
fn mock(recipe: &Recipe) -> anyhow::Result<Batch> {
    let images = i64::try_from(recipe.batch)?;
    let side = i64::from(recipe.image_size);
    let cells = usize::try_from(recipe.image_size.div_ceil(STRIDE).pow(2))?;
    tch::manual_seed(i64::try_from(recipe.seed)?);
    let mut random = stream(recipe.seed, "mock", &[]);
    let mut view = || -> anyhow::Result<View> {
        let (mut grids, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..recipe.batch {
            let grid = (0..cells).map(|_| u16::try_from(below(SEGMENTS, &mut random)));
            let grid = grid.collect::<Result<Vec<_>, _>>()?;
            ids.extend(
                draw_ids(&grid, recipe.mask_samples, &mut random)
                    .into_iter()
                    .map(i64::from),
            );
            grids.extend(grid.into_iter().map(i64::from));
        }
        let grids = Tensor::from_slice(&grids).view([images, -1]);
        Ok(View {
            images: Tensor::rand([images, 3, side, side], (Kind::Float, Device::Cpu)),
            regions: Regions::new(&grids, Tensor::from_slice(&ids).view([images, -1])),
        })
    };
    Ok(Batch {
        views: [view()?, view()?],
        labels: Tensor::zeros([images], (Kind::Int64, Device::Cpu)),
    })
}
