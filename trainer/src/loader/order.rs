//! Which images a step takes.

use crate::random::{below, stream};

/// The images of each epoch in an order drawn for it: every image once.
#[derive(Debug)]
pub(super) struct Order {
    seed: u64,
    images: u64,
    /// The epoch that was asked for last.
    epoch: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// Of a data set of so many images, at least one and at most 2^32.
    pub(super) const fn new(seed: u64, images: u64) -> Self {
        Self {
            seed,
            images,
            epoch: None,
        }
    }

    /// Epoch and image of each place in a step. Where an epoch ends inside a batch the next begins there.
    pub(super) fn batch(&mut self, step: u64, batch: u64) -> Vec<(u64, u64)> {
        let first = step * batch;
        (first..first + batch).map(|place| self.at(place)).collect()
    }

    fn at(&mut self, place: u64) -> (u64, u64) {
        let (epoch, within) = (place / self.images, place % self.images);
        if self.epoch.as_ref().is_none_or(|drawn| drawn.0 != epoch) {
            self.epoch = Some((epoch, self.shuffled(epoch)));
        }
        let order = self.epoch.as_ref().map_or(&[][..], |drawn| &drawn.1);
        let image = usize::try_from(within)
            .ok()
            .and_then(|within| order.get(within));
        (epoch, image.copied().map_or(0, u64::from))
    }

    fn shuffled(&self, epoch: u64) -> Vec<u32> {
        let mut random = stream(self.seed, "order", &[epoch]);
        let last = u32::try_from(self.images.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..=last).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, below(last + 1, &mut random));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_epoch_shows_every_image_once_in_an_order_of_its_own() {
        let mut order = Order::new(1, 7);
        let places: Vec<(u64, u64)> = (0..7).flat_map(|step| order.batch(step, 3)).collect();
        for (epoch, places) in (0..).zip(places.chunks(7)) {
            assert!(places.iter().all(|place| place.0 == epoch));
            assert_eq!(
                places
                    .iter()
                    .map(|place| place.1)
                    .collect::<BTreeSet<_>>()
                    .len(),
                7
            );
        }
        let images = |epoch: usize| {
            places[epoch * 7..][..7]
                .iter()
                .map(|place| place.1)
                .collect::<Vec<_>>()
        };
        assert_ne!(images(0), images(1));
    }

    #[test]
    fn a_run_that_goes_on_takes_what_it_would_have_taken() {
        let mut straight = Order::new(5, 10);
        let steps: Vec<_> = (0..9).map(|step| straight.batch(step, 4)).collect();
        assert_eq!(Order::new(5, 10).batch(8, 4), steps[8]);
    }
}
