//! The edges between each pixel and its eight neighbours, and their costs, in the order of scikit-image: all edges to
//! the right, then down, then down-right, then up-right.
//!
//! An edge is a record of 64 bits: the leading bits of its cost, then its direction, then its pixel. Sorting records
//! by their high bits alone, stably, is most of the sort; costs that agree in them are told apart exactly after.

use super::blur::CHANNELS;
use super::forest::Forest;
use super::sort::{self, Histograms, LeadingDigits};

/// Bits of a pixel's number.
pub(super) const PIXEL_BITS: u32 = 24;
/// Bits of a record below the key: direction and pixel.
const PLACE_BITS: u32 = PIXEL_BITS + 2;
const PIXEL_MASK: u64 = (1 << PIXEL_BITS) - 1;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

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
/// Shares of the edges, cheapest first, that the rounds go up to.
const ROUNDS: [f64; 4] = [0.125, 0.25, 0.5, 1.0];

/// All edges of an image.
#[derive(Debug, Default)]
pub(super) struct Edges {
    height: usize,
    width: usize,
    /// Costs by direction, then by pixel; places without an edge are never read.
    costs: Vec<f64>,
    /// Those not visited yet, by direction and pixel.
    records: Vec<u64>,
    leading: LeadingDigits,
    /// Those of a round, at its start.
    round: Vec<u64>,
    /// The other half of the sort's ping-pong.
    sorted: Vec<u64>,
    histograms: Histograms,
    /// Those that were kept, ascending.
    kept: Vec<u64>,
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
        // One more: the place of a record is written before it is known to count.
        self.round.resize(count + 1, 0);
        self.sorted.resize(count + 1, 0);
        self.leading.clear();
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
        self.leading.count(records, PLACE_BITS);
    }

    /// Visits the edges in ascending order of cost, equal costs in their order, and keeps those for which `visit` says
    /// so. Edges within a set may be left out.
    ///
    /// It goes in rounds, the cheapest edges first (filter-Kruskal: Osipov, Sanders and Singler, ALENEX 2009). What lies
    /// within a set is dropped between rounds, in the order of pixels, where one read brings the next, and is never
    /// sorted: by then that is most of the dear edges.
    pub(super) fn visit_ascending(
        &mut self,
        forest: &mut Forest,
        visit: impl Fn(&mut Forest, &Edge) -> bool,
    ) {
        let places = Places::of(self.height, self.width);
        self.kept.clear();
        for share in ROUNDS {
            forest.flatten();
            let bound = self.leading.bound(share, PLACE_BITS);
            let taken = self.start_round(bound, forest, &places);
            self.sort_round(taken, &places);
            places.visit(&self.round[..taken], &self.costs, forest, |forest, edge| {
                if visit(forest, edge) {
                    self.kept.push(edge.record);
                }
            });
        }
    }

    /// Visits what was kept, in the same order. Edges within a set may be left out.
    pub(super) fn visit_kept(&mut self, forest: &mut Forest, visit: impl Fn(&mut Forest, &Edge)) {
        let places = Places::of(self.height, self.width);
        places.visit(&self.kept, &self.costs, forest, visit);
    }

    /// Moves the edges below `bound` from `records` to the start of `round`, and drops those within a set.
    fn start_round(&mut self, bound: u64, forest: &Forest, places: &Places) -> usize {
        let (mut taken, mut left, mut next) = (0, 0, 0);
        // Edges of a direction lie together, so that where their ends are is looked up once.
        for (direction, [one, other]) in (1_u64..).zip(places.ends) {
            let last = direction << PIXEL_BITS;
            while let Some(&record) = self.records.get(next)
                && record & PLACE_MASK < last
            {
                let pixel = (record & PIXEL_MASK) as usize;
                let apart = usize::from(!forest.share_a_parent(pixel + one, pixel + other));
                let now = apart * usize::from(record < bound);
                // Written at once and kept by counting: a branch would be mispredicted every other time.
                self.round[taken] = record;
                taken += now;
                self.records[left] = record;
                left += apart - now;
                next += 1;
            }
        }
        self.records.truncate(left);
        taken
    }

    /// Sorts the first edges of `round` by cost; equal costs keep their order.
    fn sort_round(&mut self, count: usize, places: &Places) {
        let Self {
            round,
            sorted,
            histograms,
            costs,
            ..
        } = self;
        histograms.count(&round[..count], PLACE_BITS);
        sort::by_key(
            &mut round[..count],
            &mut sorted[..count],
            histograms,
            PLACE_BITS,
        );
        std::mem::swap(round, sorted);
        sort::settle_ties(&mut round[..count], PLACE_BITS, |record| {
            costs[places.cost(record)]
        });
    }
}

/// Where edges are in an image.
struct Places {
    pixels: usize,
    /// By direction: how far both ends are from the pixel in whose name the edge is listed.
    ends: [[usize; 2]; DIRECTIONS],
}

impl Places {
    const fn of(height: usize, width: usize) -> Self {
        Self {
            pixels: height * width,
            ends: [[1, 0], [width, 0], [width + 1, 0], [1, width]],
        }
    }

    /// An edge's two pixels.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "pixels are numbered in 24 bits"
    )]
    fn ends(&self, record: u64) -> [u32; 2] {
        let (direction, pixel) = place(record);
        self.ends[direction].map(|end| (pixel + end) as u32)
    }

    /// Where its cost is.
    const fn cost(&self, record: u64) -> usize {
        let (direction, pixel) = place(record);
        direction * self.pixels + pixel
    }

    /// Visits edges in their order. Some of those within a set are left out.
    ///
    /// A block of edges is glanced at before the first of them is visited. That has no branches to mispredict, so the
    /// block's scattered reads overlap; the visits then find what they need in the innermost cache.
    fn visit(
        &self,
        records: &[u64],
        costs: &[f64],
        forest: &mut Forest,
        mut visit: impl FnMut(&mut Forest, &Edge),
    ) {
        let mut block = [Edge::default(); BLOCK];
        for records in records.chunks(BLOCK) {
            let mut candidates = 0;
            for &record in records {
                let ends = self.ends(record);
                block[candidates] = Edge {
                    record,
                    ends,
                    cost: 0.0,
                };
                candidates += usize::from(forest.may_differ(ends));
            }
            for edge in &mut block[..candidates] {
                edge.cost = costs[self.cost(edge.record)];
            }
            for edge in &block[..candidates] {
                visit(forest, edge);
            }
        }
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
const fn place(record: u64) -> (usize, usize) {
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
