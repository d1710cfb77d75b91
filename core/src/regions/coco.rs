//! COCO's instance annotations: polygons, and run lengths of both kinds, as they stand in its JSON. It refuses run
//! lengths of another size than the image, and more annotations than a label map has ids for.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::number::{self, Whole};
use super::{Mask, PolygonBudget, RegionError};
use crate::segment::SegmentMap;

/// Run lengths with their size: `{"size": [height, width], "counts": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CocoRle {
    /// Height and width.
    #[serde(deserialize_with = "number::pair")]
    pub size: [u32; 2],
    /// The runs.
    pub counts: Counts,
}

/// Run lengths, column by column, zeros first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Counts {
    /// pycocotools' text.
    Compressed(String),
    /// A list of numbers.
    Plain(Vec<u32>),
}

/// Read at once: an untagged enum would first hold millions of numbers in a form of many times their size.
impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("run lengths, a text or a list of numbers")
            }

            fn visit_str<E>(self, text: &str) -> Result<Counts, E> {
                Ok(Counts::Compressed(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counts, A::Error> {
                let mut counts = Vec::new();
                while let Some(Whole(count)) = list.next_element()? {
                    counts.push(count);
                }
                Ok(Counts::Plain(counts))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Segmentation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of polygons, or run lengths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Segmentation, A::Error> {
                let polygons = Deserialize::deserialize(SeqAccessDeserializer::new(list));
                polygons.map(Segmentation::Polygons)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Segmentation, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Segmentation::Rle)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl TryFrom<&CocoRle> for Mask {
    type Error = RegionError;

    fn try_from(rle: &CocoRle) -> Result<Self, Self::Error> {
        let [height, width] = rle.size;
        match &rle.counts {
            Counts::Compressed(text) => Self::from_compressed(height, width, text.as_bytes()),
            Counts::Plain(counts) => Self::from_counts(height, width, counts),
        }
    }
}

impl From<&Mask> for CocoRle {
    /// Compressed.
    fn from(mask: &Mask) -> Self {
        Self {
            size: [mask.height(), mask.width()],
            counts: Counts::Compressed(mask.to_compressed()),
        }
    }
}

/// The region of an annotation.
#[derive(Clone, Debug, PartialEq)]
pub enum Segmentation {
    /// Polygons `x, y, x, y, …`, whose union it is.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths.
    Rle(CocoRle),
}

/// One instance. Its further fields (category, area, …) say nothing about where it is and are passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Annotation {
    /// Its region.
    pub segmentation: Segmentation,
    /// Whether it is a group of instances.
    #[serde(default, rename = "iscrowd")]
    pub kind: Kind,
}

/// What an annotation marks: COCO's `iscrowd`, 0 or 1, or false or true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Whole<u8>")]
pub enum Kind {
    /// One object.
    #[default]
    Instance,
    /// Many objects that were not told apart.
    Crowd,
}

impl TryFrom<Whole<u8>> for Kind {
    type Error = String;

    fn try_from(Whole(iscrowd): Whole<u8>) -> Result<Self, Self::Error> {
        match iscrowd {
            0 => Ok(Self::Instance),
            1 => Ok(Self::Crowd),
            other => Err(format!("`iscrowd` is {other}, and it must be 0 or 1")),
        }
    }
}

/// What becomes of crowds in a label map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowds {
    /// Each is a segment.
    Keep,
    /// Their pixels are background, unless another annotation has them.
    Background,
}

impl Annotation {
    /// Its pixels in an image of this size.
    pub fn mask(
        &self,
        height: u32,
        width: u32,
        budget: &mut PolygonBudget,
    ) -> Result<Mask, RegionError> {
        match &self.segmentation {
            Segmentation::Polygons(polygons) => {
                let polygons = polygons.iter();
                let masks =
                    polygons.map(|polygon| Mask::from_polygon(height, width, polygon, budget));
                Mask::union(height, width, masks.collect::<Result<_, _>>()?)
            }
            Segmentation::Rle(rle) => {
                let mask = Mask::try_from(rle)?;
                mask.check_size(height, width)?;
                Ok(mask)
            }
        }
    }
}

/// Draws annotations into one label map: 0 is background, the first annotation 1, and so on. Where they overlap, the
/// later lies on top.
pub fn segment_map(
    annotations: &[Annotation],
    height: u32,
    width: u32,
    crowds: Crowds,
) -> Result<SegmentMap, RegionError> {
    let (regions, limit) = (annotations.len(), SegmentMap::MAX_SEGMENTS - 1);
    if regions > limit {
        return Err(RegionError::TooManyRegions { regions, limit });
    }
    let mut budget = PolygonBudget::default();
    let mut ids = vec![0; super::mask::checked_size(height, width)? as usize];
    for (id, annotation) in (1..=u16::MAX).zip(annotations) {
        match (annotation.kind, crowds) {
            (Kind::Crowd, Crowds::Background) => {}
            (Kind::Instance, _) | (Kind::Crowd, Crowds::Keep) => {
                let mask = annotation.mask(height, width, &mut budget)?;
                mask.for_each_pixel(|index| ids[index] = id);
            }
        }
    }
    Ok(SegmentMap::new(height, width, ids)?)
}
