//! The edges between each pixel and its eight neighbours, and their costs, in the order of scikit-image: all edges to
//! the right, then down, then down-right, then up-right.
//!
//! An edge is a record of 64 bits: the leading bits of its cost, then its direction, then its pixel. Sorting records
//! by their high bits alone, stably, is most of the sort; costs that agree in them are told apart exactly after.

use super::blur::CHANNELS;
use super::sort::{self, Histograms};

/// Bits of a pixel's number.
pub(super) const PIXEL_BITS: u32 = 24;
/// Bits of a record below the key: direction and pixel.
const PLACE_BITS: u32 = PIXEL_BITS + 2;
const PIXEL_MASK: u64 = (1 << PIXEL_BITS) - 1;

/// Where an edge leads, in the order in which scikit-image lists them.
#[derive(Clone, Copy)]
enum Direction {
    Right,
    Down,
    DownRight,
    UpRight,
}

const DIRECTIONS: usize = 4;

/// Edges glanced at together.
const BLOCK: usize = 64;

/// All edges of an image.
#[derive(Debug, Default)]
pub(super) struct Edges {
    height: usize,
    width: usize,
    /// Costs by direction, then by pixel; places without an edge are never read.
    costs: Vec<f64>,
    records: Vec<u64>,
    /// The other half of the sort's ping-pong.
    sorted: Vec<u64>,
    histograms: Histograms,
    /// Rows pushed so far.
    rows: usize,
}

impl Edges {
    /// Makes room for an image's edges.
    pub(super) fn start(&mut self, height: usize, width: usize) {
        (self.height, self.width, self.rows) = (height, width, 0);
        let count = self.block_end(Direction::UpRight);
        // Never cleared: every place that is read has been written for this image before.
        self.costs.resize(DIRECTIONS * height * width, 0.0);
        self.records.resize(count, 0);
        self.sorted.resize(count, 0);
        self.histograms.clear();
    }

    /// Pixels of the image.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// One past the last edge of a direction, in scikit-image's order.
    fn block_end(&self, direction: Direction) -> usize {
        let (height, width) = (self.height, self.width);
        let right = height * (width - 1);
        let down = (height - 1) * width;
        let diagonal = (height - 1) * (width - 1);
        match direction {
            Direction::Right => right,
            Direction::Down => right + down,
            Direction::DownRight => right + down + diagonal,
            Direction::UpRight => right + down + 2 * diagonal,
        }
    }

    /// Adds the edges of a row, three planes, to itself and to the row above it.
    pub(super) fn push_row(&mut self, above: Option<&[f64]>, row: &[f64]) {
        let (y, wide, narrow) = (self.rows, self.width, self.width - 1);
        let here = planes(row, wide);
        self.push(
            Direction::Right,
            y,
            here.map(|p| &p[1..]),
            here.map(|p| &p[..narrow]),
        );
        if let Some(above) = above {
            let over = planes(above, wide);
            let y = y - 1;
            self.push(Direction::Down, y, here, over);
            self.push(
                Direction::DownRight,
                y,
                here.map(|p| &p[1..]),
                over.map(|p| &p[..narrow]),
            );
            self.push(
                Direction::UpRight,
                y,
                here.map(|p| &p[..narrow]),
                over.map(|p| &p[1..]),
            );
        }
        self.rows += 1;
    }

    /// Adds the edges in one direction whose left or upper pixels are in row `y`.
    fn push(
        &mut self,
        direction: Direction,
        y: usize,
        ends: [&[f64]; CHANNELS],
        starts: [&[f64]; CHANNELS],
    ) {
        let count = ends[0].len();
        let rows = match direction {
            Direction::Right => self.height,
            Direction::Down | Direction::DownRight | Direction::UpRight => self.height - 1,
        };
        let first = self.block_end(direction) - (rows - y) * count;
        let pixel = y * self.width;
        let place = direction as usize * self.pixels() + pixel;
        let costs = &mut self.costs[place..place + count];
        fill_costs(costs, ends, starts);
        let records = &mut self.records[first..first + count];
        let place = (direction as u64) << PIXEL_BITS | pixel as u64;
        for ((record, &cost), place) in records.iter_mut().zip(&*costs).zip(place..) {
            *record = sort::key(cost) << PLACE_BITS | place;
        }
        self.histograms.count(records, PLACE_BITS);
    }

    /// Sorts the edges by cost; equal costs keep their order.
    pub(super) fn sort(&mut self) {
        let Self {
            records,
            sorted,
            histograms,
            ..
        } = self;
        sort::by_key(records, sorted, histograms, PLACE_BITS);
        let pixels = self.height * self.width;
        let costs = &self.costs;
        sort::settle_ties(&mut self.records, PLACE_BITS, |record| {
            let (direction, pixel) = place(record);
            costs[direction * pixels + pixel]
        });
    }

    /// Visits the edges in order and keeps those for which `visit` says so. Those for which `glance` says no are
    /// dropped unvisited.
    ///
    /// A glance is taken at a block of edges before the first of them is visited. It has no branches to mispredict, so
    /// that the block's scattered reads overlap; the visits then find what they need in the innermost cache.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "pixels are numbered in 24 bits"
    )]
    pub(super) fn retain<S>(
        &mut self,
        state: &mut S,
        glance: impl Fn(&mut S, [u32; 2]) -> bool,
        visit: impl Fn(&mut S, &Edge) -> bool,
    ) {
        let (pixels, width) = (self.pixels(), self.width);
        // By direction: how far both ends are from the pixel in whose name the edge is listed.
        let ends = [[1, 0], [width, 0], [width + 1, 0], [1, width]];
        let mut kept = 0;
        let mut block = [Edge::default(); BLOCK];
        for start in (0..self.records.len()).step_by(BLOCK) {
            let end = self.records.len().min(start + BLOCK);
            let mut candidates = 0;
            for &record in &self.records[start..end] {
                let (direction, pixel) = place(record);
                let ends = ends[direction].map(|end| (pixel + end) as u32);
                block[candidates] = Edge {
                    record,
                    ends,
                    cost: 0.0,
                };
                candidates += usize::from(glance(state, ends));
            }
            for edge in &mut block[..candidates] {
                let (direction, pixel) = place(edge.record);
                edge.cost = self.costs[direction * pixels + pixel];
            }
            for edge in &block[..candidates] {
                self.records[kept] = edge.record;
                kept += usize::from(visit(state, edge));
            }
        }
        self.records.truncate(kept);
    }
}

/// Two neighbouring pixels.
#[derive(Clone, Copy, Default)]
pub(super) struct Edge {
    record: u64,
    ends: [u32; 2],
    cost: f64,
}

impl Edge {
    /// The two pixels.
    pub(super) const fn ends(&self) -> [u32; 2] {
        self.ends
    }

    /// The distance of their colours.
    pub(super) const fn cost(&self) -> f64 {
        self.cost
    }
}

/// Direction and pixel of a record.
fn place(record: u64) -> (usize, usize) {
    let direction = record >> PIXEL_BITS & 3;
    let pixel = record & PIXEL_MASK;
    (direction as usize, pixel as usize)
}

fn planes(row: &[f64], width: usize) -> [&[f64]; CHANNELS] {
    let (red, rest) = row.split_at(width);
    let (green, blue) = rest.split_at(width);
    [red, green, blue]
}

/// Euclidean distances of colours, added in the order of NumPy.
fn fill_costs(costs: &mut [f64], ends: [&[f64]; CHANNELS], starts: [&[f64]; CHANNELS]) {
    let count = costs.len();
    let [r1, g1, b1] = ends.map(|plane| &plane[..count]);
    let [r0, g0, b0] = starts.map(|plane| &plane[..count]);
    for i in 0..count {
        let (red, green, blue) = (r1[i] - r0[i], g1[i] - g0[i], b1[i] - b0[i]);
        costs[i] = (red * red + green * green + blue * blue).sqrt();
    }
}
