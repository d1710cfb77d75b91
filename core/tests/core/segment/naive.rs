//! Felzenszwalb and Huttenlocher's segmentation as plainly as it can be written: every array whole, a stable sort of
//! the library's, sets as lists. Slow; the fast one must equal it.

use detcon_core::image::RgbImage;

/// Three planes of `height * width` values.
type Planes = [Vec<f64>; 3];

struct Edge {
    ends: [usize; 2],
    cost: f64,
}

/// The label of each pixel.
pub(crate) fn felzenszwalb(image: &RgbImage, scale: f64, sigma: f64, min_size: usize) -> Vec<u16> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let mut edges = edges(&blurred(image, sigma), height, width);
    edges.sort_by(|one, other| one.cost.total_cmp(&other.cost));
    let mut sets: Vec<usize> = (0..height * width).collect();
    let mut differences = vec![0.0; height * width];
    for edge in &edges {
        let [one, other] = edge.ends.map(|pixel| sets[pixel]);
        let sizes = [one, other].map(|set| size(&sets, set));
        let limit =
            |set: usize, size: usize| (differences[set] + scale / 255.0 / size as f64) as f32;
        let limit = limit(one, sizes[0]).min(limit(other, sizes[1]));
        if one != other && edge.cost < f64::from(limit) {
            merge(&mut sets, one, other);
            differences[one.min(other)] = edge.cost;
        }
    }
    for edge in &edges {
        let [one, other] = edge.ends.map(|pixel| sets[pixel]);
        if one != other && (size(&sets, one) < min_size || size(&sets, other) < min_size) {
            merge(&mut sets, one, other);
        }
    }
    let mut roots = sets.clone();
    roots.sort_unstable();
    roots.dedup();
    let rank = |set: &usize| roots.binary_search(set).unwrap() as u16;
    sets.iter().map(rank).collect()
}

fn size(sets: &[usize], set: usize) -> usize {
    sets.iter().filter(|&&other| other == set).count()
}

fn merge(sets: &mut [usize], one: usize, other: usize) {
    for set in sets {
        if *set == one.max(other) {
            *set = one.min(other);
        }
    }
}

fn edges(planes: &Planes, height: usize, width: usize) -> Vec<Edge> {
    let mut edges = Vec::new();
    // Right, down, down-right, up-right: where the other end is, and where the edge begins.
    for [(down, right), (start, _)] in [
        [(0, 1), (0, 0)],
        [(1, 0), (0, 0)],
        [(1, 1), (0, 0)],
        [(1, 1), (1, 0)],
    ] {
        for y in 0..height - down {
            for x in 0..width - right {
                let one = (y + start) * width + x;
                let other = (y + down - start) * width + x + right;
                let squares = planes
                    .each_ref()
                    .map(|plane| (plane[one] - plane[other]).powi(2));
                let cost = (squares[0] + squares[1] + squares[2]).sqrt();
                let ends = [one, other];
                edges.push(Edge { ends, cost });
            }
        }
    }
    edges
}

fn blurred(image: &RgbImage, sigma: f64) -> Planes {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let kernel = kernel(sigma);
    std::array::from_fn(|channel| {
        let samples = image.pixels().iter().skip(channel).step_by(3);
        let plane: Vec<f64> = samples
            .map(|&sample| f64::from(sample) * (1.0 / 255.0))
            .collect();
        let at = |y: isize, x: usize| plane[mirror(y, height) * width + x];
        let tall: Vec<f64> = (0..height * width)
            .map(|i| {
                weigh(&kernel, |offset| {
                    at((i / width) as isize + offset, i % width)
                })
            })
            .collect();
        let at = |y: usize, x: isize| tall[y * width + mirror(x, width)];
        (0..height * width)
            .map(|i| {
                weigh(&kernel, |offset| {
                    at(i / width, (i % width) as isize + offset)
                })
            })
            .collect()
    })
}

/// One side of the kernel, the middle first.
fn kernel(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as i32;
    if sigma == 0.0 {
        return vec![1.0];
    }
    let weights = (-radius..=radius).map(|x| (-0.5 / (sigma * sigma) * f64::from(x * x)).exp());
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    weights[radius as usize..]
        .iter()
        .map(|weight| weight / sum)
        .collect()
}

/// The outermost pair first.
fn weigh(kernel: &[f64], value: impl Fn(isize) -> f64) -> f64 {
    (1..kernel.len())
        .rev()
        .fold(value(0) * kernel[0], |sum, distance| {
            let (before, after) = (value(-(distance as isize)), value(distance as isize));
            sum + (before + after) * kernel[distance]
        })
}

fn mirror(mut place: isize, extent: usize) -> usize {
    let extent = extent as isize;
    while !(0..extent).contains(&place) {
        place = if place < 0 {
            -place - 1
        } else {
            2 * extent - 1 - place
        };
    }
    place as usize
}
