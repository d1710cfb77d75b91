//! A label map with few enough segments for one byte a pixel.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use detcon_core::segment::SegmentMap;

/// Merges segments until `most` are left: always the smallest, into the neighbour with which it shares the longest
/// border (of equals, the lower id). Ids are compact before and after. No segment is without a neighbour as long as
/// there are two, since every pixel belongs to one.
pub(super) fn merge_smallest(map: &SegmentMap, most: usize) -> SegmentMap {
    let map = map.compact();
    let mut regions = Regions::of(&map);
    let mut smallest: BinaryHeap<_> = (0..)
        .zip(&regions.areas)
        .map(|(id, &area)| Reverse((area, id)))
        .collect();
    let mut left = regions.areas.len();
    while left > most {
        let Some(Reverse((area, id))) = smallest.pop() else {
            break;
        };
        // An entry of a region that has grown or gone since.
        if regions.areas[usize::from(id)] != area {
            continue;
        }
        let Some(into) = regions.merge(id) else {
            break;
        };
        smallest.push(Reverse((regions.areas[usize::from(into)], into)));
        left -= 1;
    }
    let ids = map.ids().iter().map(|&id| regions.root(id)).collect();
    let merged = SegmentMap::new(map.height(), map.width(), ids);
    merged.expect("it has the size of another map").compact()
}

/// The segments of a map as a graph.
struct Regions {
    /// Pixels of each; 0 once merged into another.
    areas: Vec<u64>,
    /// Pairs of touching pixels, for each neighbour of each.
    borders: Vec<BTreeMap<u16, u64>>,
    /// What each was merged into, or itself.
    parents: Vec<u16>,
}

impl Regions {
    fn of(map: &SegmentMap) -> Self {
        let count = usize::from(map.largest_id()) + 1;
        let mut regions = Self {
            areas: vec![0; count],
            borders: vec![BTreeMap::new(); count],
            parents: (0..=map.largest_id()).collect(),
        };
        let mut above: Option<&[u16]> = None;
        for row in map.rows() {
            for &id in row {
                regions.areas[usize::from(id)] += 1;
            }
            for pair in row.windows(2) {
                regions.touch(pair[0], pair[1]);
            }
            for (&id, &upper) in row.iter().zip(above.unwrap_or_default()) {
                regions.touch(id, upper);
            }
            above = Some(row);
        }
        regions
    }

    fn touch(&mut self, one: u16, other: u16) {
        if one != other {
            *self.borders[usize::from(one)].entry(other).or_default() += 1;
            *self.borders[usize::from(other)].entry(one).or_default() += 1;
        }
    }

    /// Merges a region into the neighbour that it touches most, and says which that is.
    fn merge(&mut self, id: u16) -> Option<u16> {
        let borders = std::mem::take(&mut self.borders[usize::from(id)]);
        let most = borders
            .iter()
            .max_by_key(|&(&id, &length)| (length, Reverse(id)));
        let into = *most?.0;
        for (neighbour, length) in borders {
            self.borders[usize::from(neighbour)].remove(&id);
            if neighbour != into {
                *self.borders[usize::from(into)]
                    .entry(neighbour)
                    .or_default() += length;
                *self.borders[usize::from(neighbour)]
                    .entry(into)
                    .or_default() += length;
            }
        }
        self.areas[usize::from(into)] += std::mem::take(&mut self.areas[usize::from(id)]);
        self.parents[usize::from(id)] = into;
        Some(into)
    }

    fn root(&mut self, id: u16) -> u16 {
        let mut root = id;
        while self.parents[usize::from(root)] != root {
            root = self.parents[usize::from(root)];
        }
        self.parents[usize::from(id)] = root;
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_goes_to_the_neighbour_that_it_touches_most() {
        // 1 is the smallest; it touches 0 once and 2 three times.
        let ids = vec![
            0, 0, 0, 0, //
            0, 0, 1, 2, //
            0, 2, 1, 2, //
            2, 2, 2, 2, //
        ];
        let map = SegmentMap::new(4, 4, ids).unwrap();
        let merged = merge_smallest(&map, 2);
        let expected = [0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1];
        assert_eq!(merged.ids(), expected);
    }

    #[test]
    fn a_map_that_fits_keeps_its_segments() {
        let map = SegmentMap::new(1, 4, vec![3, 3, 7, 9]).unwrap();
        assert_eq!(merge_smallest(&map, 3).ids(), [0, 0, 1, 2]);
    }

    #[test]
    fn thousands_of_segments_become_256_connected_ones() {
        let ids = (0..99 * 100).map(|pixel| pixel / 3).collect();
        let map = SegmentMap::new(100, 99, ids).unwrap();
        let merged = merge_smallest(&map, 256);
        assert_eq!(merged.distinct().len(), 256);
        assert_eq!(merged.largest_id(), 255);
        assert_eq!(components(&merged), 256);
    }

    /// Connected parts of equal id, by flood fill.
    fn components(map: &SegmentMap) -> usize {
        let (height, width) = (map.height() as usize, map.width() as usize);
        let mut seen = vec![false; height * width];
        let mut count = 0;
        for start in 0..seen.len() {
            let mut open = vec![start];
            count += usize::from(!seen[start]);
            while let Some(pixel) = open.pop() {
                if std::mem::replace(&mut seen[pixel], true) {
                    continue;
                }
                let (y, x) = (pixel / width, pixel % width);
                let mut next = Vec::new();
                next.extend((x > 0).then(|| pixel - 1));
                next.extend((x + 1 < width).then_some(pixel + 1));
                next.extend((y > 0).then(|| pixel - width));
                next.extend((y + 1 < height).then_some(pixel + width));
                next.retain(|&other| map.ids()[other] == map.ids()[pixel]);
                open.extend(next);
            }
        }
        count
    }
}
