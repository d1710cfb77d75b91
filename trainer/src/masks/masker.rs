//! The masks of an image, whatever they come from: a segmentation of its pixels, a grid, or maps that were given.

use std::fs;
use std::path::Path;

use detcon_core::image::{ImageLimits, RgbImage};
use detcon_core::segment::{Felzenszwalb, Grid, SegmentError, SegmentMap, Workspace};
use detcon_data::annotations::{Annotations, OtherSize, Unannotated};

use super::{MaskSource, MasksError, SourceImage};

/// A [`MaskSource`], checked and ready.
pub(crate) enum Masker<'a> {
    Felzenszwalb(Vec<Felzenszwalb>),
    Grid(Grid),
    Annotations(&'a Annotations),
    LabelMaps(&'a Path),
}

/// Why an image has no mask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaskFailure {
    #[error(transparent)]
    Segmentation(#[from] SegmentError),
    #[error(transparent)]
    Annotations(#[from] Unannotated),
    #[error("Its label map could not be read: {0}.")]
    LabelMap(std::io::Error),
    #[error(transparent)]
    Size(#[from] OtherSize),
}

impl<'a> Masker<'a> {
    pub(crate) fn of(source: &'a MaskSource) -> Result<Self, MasksError> {
        match source {
            MaskSource::Felzenszwalb { segmentations } if segmentations.is_empty() => {
                let (scales, min_sizes) = (0, 0);
                Err(MasksError::Uneven { scales, min_sizes })
            }
            MaskSource::Felzenszwalb { segmentations } => {
                let methods = segmentations.iter().map(|one| one.method());
                Ok(Self::Felzenszwalb(methods.collect::<Result<_, _>>()?))
            }
            MaskSource::Grid { rows, columns } => Ok(Self::Grid(Grid::new(*rows, *columns)?)),
            MaskSource::Annotations(annotations) => Ok(Self::Annotations(annotations)),
            MaskSource::LabelMaps { folder } => Ok(Self::LabelMaps(folder)),
        }
    }

    /// The masks of an image with these pixels: one or more, whose ids leave no gaps.
    pub(crate) fn maps(
        &self,
        image: &SourceImage,
        pixels: &RgbImage,
        limits: &ImageLimits,
        workspace: &mut Workspace,
    ) -> Result<Vec<SegmentMap>, MaskFailure> {
        let (height, width) = (pixels.height(), pixels.width());
        match self {
            Self::Felzenszwalb(methods) => {
                let maps = methods.iter().map(|it| it.segment(pixels, workspace));
                Ok(maps.collect::<Result<_, _>>()?)
            }
            Self::Grid(grid) => Ok(vec![grid.segment(height, width)?]),
            Self::Annotations(given) => Ok(vec![given.map(&image.path, height, width)?]),
            Self::LabelMaps(folder) => {
                let path = folder.join(image.path.with_extension("png"));
                let png = fs::read(path).map_err(MaskFailure::LabelMap)?;
                let map = SegmentMap::from_png(&png, limits)?;
                let (mask, image) = ([map.height(), map.width()], [height, width]);
                if mask == image {
                    return Ok(vec![map.compact()]);
                }
                Err(OtherSize { mask, image }.into())
            }
        }
    }
}
