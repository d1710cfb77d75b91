//! Batches from a data set: images in an order of their own each epoch, each decoded once for its two views.
//!
//! Everything that is drawn depends on the seed, the epoch and the image alone, so batches are the same for any number
//! of threads, and a run that goes on at a step gets the batches that it would have got.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::distributed::Share;
use crate::recipe::Recipe;

mod batch;
mod crop;
mod data_set;
mod error;
mod mask;
mod order;
mod views;

pub use self::batch::HostBatch;
pub use self::data_set::{DataPlace, DataSet};
pub use self::error::LoaderError;
pub use self::mask::Cells;
pub use self::views::{DrawnImage, DrawnView};

use self::order::Order;
use self::views::ViewPair;

/// Batches that are made before they are asked for.
const PREFETCHED: usize = 2;

/// Makes batches on threads of its own. It ends after its first error, or when it is dropped.
#[derive(Debug)]
pub struct Loader {
    batches: Option<Receiver<Result<HostBatch, LoaderError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts with a rank's share of the batch of step `first`.
    pub fn start(
        data: Arc<DataSet>,
        recipe: Recipe,
        share: Share,
        first: u64,
        threads: NonZeroUsize,
    ) -> Result<Self, LoaderError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build()?;
        let mut order = Order::new(recipe.seed, data.len());
        let views = ViewPair::new(&recipe);
        let (sender, batches) = sync_channel(PREFETCHED);
        let thread = std::thread::spawn(move || {
            for step in first.. {
                let places = share.of(order.batch(step, recipe.batch));
                let batch = pool.install(|| {
                    let drawn = places.into_par_iter().map(|(epoch, image)| {
                        data.nearest_intact(image, |image, picture| {
                            views.draw(picture, recipe.seed, [epoch, image])
                        })
                    });
                    drawn.collect::<Result<Vec<_>, _>>()
                });
                let failed = batch.is_err();
                let batch = batch.map(|images| HostBatch::new(images, recipe.image_size));
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self {
            batches: Some(batches),
            thread: Some(thread),
        })
    }

    /// A data set, and a loader that starts at a step.
    pub fn open(
        place: impl Into<DataPlace>,
        recipe: Recipe,
        first: u64,
        threads: NonZeroUsize,
    ) -> Result<(Arc<DataSet>, Self), LoaderError> {
        let data = Arc::new(DataSet::open(place, recipe.masks)?);
        let loader = Self::start(Arc::clone(&data), recipe, Share::WHOLE, first, threads)?;
        Ok((data, loader))
    }
}

impl Iterator for Loader {
    type Item = Result<HostBatch, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The thread stops when nobody receives.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
