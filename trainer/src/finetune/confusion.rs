//! How often each class is taken for each other, and the figures that come of it.

use detcon_core::segment::SegmentMap;

/// Pixels by their true class and the class that they were taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[true, found]`.
    pixels: Vec<u64>,
}

impl Confusion {
    /// Of nothing yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            pixels: vec![0; classes * classes],
        }
    }

    /// Counts the pixels of an image, but for those whose true id is no class. Both maps are of one size, and every
    /// class that was found is below the number of classes.
    ///
    /// # Panics
    /// Where that is not so.
    pub fn add(&mut self, truth: &SegmentMap, found: &SegmentMap) {
        assert_eq!(truth.ids().len(), found.ids().len(), "pixels of an image");
        for (&truth, &found) in truth.ids().iter().zip(found.ids()) {
            let (truth, found) = (usize::from(truth), usize::from(found));
            assert!(found < self.classes, "{found} is a class");
            if truth < self.classes {
                self.pixels[truth * self.classes + found] += 1;
            }
        }
    }

    /// Counts what another has counted.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (sum, pixels) in self.pixels.iter_mut().zip(&other.pixels) {
            *sum += pixels;
        }
        self
    }

    /// Pixels that have a class.
    #[must_use]
    pub fn labelled(&self) -> u64 {
        self.pixels.iter().sum()
    }

    /// Intersection over union of each class; none where no pixel is of the class in truth.
    #[must_use]
    pub fn class_iou(&self) -> Vec<Option<f64>> {
        let iou = |class: usize| {
            let row = &self.pixels[class * self.classes..][..self.classes];
            let truth: u64 = row.iter().sum();
            let column = self.pixels.iter().skip(class).step_by(self.classes);
            let found: u64 = column.sum();
            (truth > 0).then(|| share(row[class], truth + found - row[class]))
        };
        (0..self.classes).map(iou).collect()
    }

    /// Mean of the classes' intersections over unions, over the classes that occur in truth; 0 where none does.
    #[must_use]
    pub fn mean_iou(&self) -> f64 {
        let present: Vec<f64> = self.class_iou().into_iter().flatten().collect();
        let sum: f64 = present.iter().sum();
        if present.is_empty() {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 2^16 classes")]
        let mean = sum / present.len() as f64;
        mean
    }

    /// Share of the pixels whose class was found.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right = self.pixels.iter().step_by(self.classes + 1).sum();
        share(right, self.labelled())
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ids: &[u16]) -> SegmentMap {
        SegmentMap::new(1, u32::try_from(ids.len()).unwrap(), ids.to_vec()).unwrap()
    }

    /// Class 0: 2 right of 3 true and 3 found; class 1: 1 right of 2 true and 2 found; class 2 is nowhere in truth; the
    /// last pixel counts for nothing.
    #[test]
    fn figures_are_those_of_the_definition() {
        let mut confusion = Confusion::new(3);
        confusion.add(&map(&[0, 0, 0]), &map(&[0, 0, 1]));
        let mut other = Confusion::new(3);
        other.add(&map(&[1, 1, 255]), &map(&[1, 0, 2]));
        let confusion = confusion.with(&other);
        let iou = confusion.class_iou();
        assert_eq!(iou, [Some(2.0 / 4.0), Some(1.0 / 3.0), None]);
        assert!((confusion.mean_iou() - 5.0 / 12.0).abs() < 1e-12);
        assert!((confusion.accuracy() - 3.0 / 5.0).abs() < 1e-12);
        assert_eq!(confusion.labelled(), 5);
    }

    #[test]
    fn nothing_counted_is_nothing() {
        let confusion = Confusion::new(2);
        assert_eq!(confusion.class_iou(), [None, None]);
        assert!(confusion.mean_iou().abs() < 1e-12 && confusion.accuracy().abs() < 1e-12);
    }
}
