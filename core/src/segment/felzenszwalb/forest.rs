//! The segments as they grow: a union-find forest over pixels.

use super::edges::Edge;
use crate::segment::{SegmentError, SegmentMap};

/// Disjoint sets of pixels, and for each what it takes to join another.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// Each pixel's parent; a root is its own.
    parents: Vec<u32>,
    sets: Vec<Set>,
    scale: f64,
}

/// What a root knows of its set.
#[derive(Clone, Copy, Debug)]
struct Set {
    /// Pixels.
    size: u32,
    /// The internal difference plus `scale / size`, in 32 bits as scikit-image holds it: a cheaper edge joins.
    threshold: f32,
}

impl Forest {
    /// Makes every one of `pixels` its own set.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the threshold has 32 bits, and pixels are counted in 24"
    )]
    pub(super) fn start(&mut self, pixels: usize, scale: f64) {
        self.scale = scale;
        self.parents.clear();
        self.parents.extend(0..pixels as u32);
        let alone = Set {
            size: 1,
            threshold: scale as f32,
        };
        self.sets.clear();
        self.sets.resize(pixels, alone);
    }

    /// Whether two pixels may be in different sets: no means that they share one. It also shortens their paths.
    pub(super) fn may_differ(&mut self, ends: [u32; 2]) -> bool {
        let [one, other] = ends.map(|pixel| {
            let parent = self.parents[pixel as usize];
            let grandparent = self.parents[parent as usize];
            self.parents[pixel as usize] = grandparent;
            grandparent
        });
        one != other
    }

    /// Lets every pixel's parent be its root.
    pub(super) fn flatten(&mut self) {
        for pixel in 0..self.parents.len() {
            let mut root = self.parents[pixel];
            loop {
                let parent = self.parents[root as usize];
                if parent == root {
                    break;
                }
                root = parent;
            }
            self.parents[pixel] = root;
        }
    }

    /// Whether two pixels have one parent: right after [`Self::flatten`], whether they are in one set.
    pub(super) fn share_a_parent(&self, one: usize, other: usize) -> bool {
        self.parents[one] == self.parents[other]
    }

    fn root(&mut self, pixel: u32) -> u32 {
        let mut pixel = pixel;
        loop {
            let parent = self.parents[pixel as usize];
            if parent == pixel {
                return pixel;
            }
            let grandparent = self.parents[parent as usize];
            self.parents[pixel as usize] = grandparent;
            pixel = grandparent;
        }
    }

    /// Joins the sets of an edge's ends if its cost is below what both accept. Returns whether the edge still separates them.
    pub(super) fn join_similar(&mut self, edge: &Edge) -> bool {
        let [one, other] = edge.ends().map(|pixel| self.root(pixel));
        if one == other {
            return false;
        }
        let (first, second) = (self.sets[one as usize], self.sets[other as usize]);
        let cost = edge.cost();
        if cost >= f64::from(first.threshold.min(second.threshold)) {
            return true;
        }
        self.join(one, other, cost);
        false
    }

    /// Joins the sets of an edge's ends if either has fewer than `min_size` pixels.
    pub(super) fn join_small(&mut self, edge: &Edge, min_size: u32) {
        let [one, other] = edge.ends().map(|pixel| self.root(pixel));
        if one == other {
            return;
        }
        let smaller = self.sets[one as usize]
            .size
            .min(self.sets[other as usize].size);
        if smaller < min_size {
            self.join(one, other, 0.0);
        }
    }

    /// Joins two roots by an edge of this cost, the internal difference of the union: edges come in ascending order.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "scikit-image compares in 32 bits"
    )]
    fn join(&mut self, one: u32, other: u32, cost: f64) {
        let sizes = (self.sets[one as usize].size, self.sets[other as usize].size);
        let (root, child) = if sizes.0 >= sizes.1 {
            (one, other)
        } else {
            (other, one)
        };
        let size = sizes.0 + sizes.1;
        self.parents[child as usize] = root;
        self.sets[root as usize] = Set {
            size,
            threshold: (cost + self.scale / f64::from(size)) as f32,
        };
    }

    /// Each pixel's set, numbered in the order of first pixels.
    pub(super) fn labels(&mut self) -> Result<Vec<u16>, SegmentError> {
        const UNNUMBERED: u32 = u32::MAX;
        // A root's size is no longer needed: its number takes the place.
        for set in &mut self.sets {
            set.size = UNNUMBERED;
        }
        let mut labels = Vec::with_capacity(self.parents.len());
        let mut segments = 0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "pixels are counted in 24 bits; a wrapped label is refused below"
        )]
        for pixel in 0..self.parents.len() as u32 {
            let root = self.root(pixel);
            let number = &mut self.sets[root as usize].size;
            if *number == UNNUMBERED {
                *number = segments;
                segments += 1;
            }
            labels.push(*number as u16);
        }
        let segments = segments as usize;
        if segments > SegmentMap::MAX_SEGMENTS {
            return Err(SegmentError::TooManySegments { segments });
        }
        Ok(labels)
    }
}
