//! What a manifest says of a segmentation head, and what of that has to fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelError, ModelName};
use crate::arch::{ResNetSpec, Stage};
use crate::checkpoint::Tensors;
use crate::preprocess::Preprocess;
use crate::segment::{HeadError, HeadKind, SegmentMap, SegmentationHead};

/// A segmentation head that was trained on the features of a model, in `heads/NAME.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadEntry {
    /// What it is made of.
    pub kind: HeadKind,
    /// The stage whose features it reads.
    pub stage: Stage,
    /// Shorter side of the images that it was trained on, in pixels of the network's input.
    pub size: u32,
    /// What its classes are called, by id from 0.
    pub classes: Vec<String>,
    /// How good it is, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<HeadQuality>,
}

/// How well a head tells classes apart, measured on images that had no part in its training, at their full size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadQuality {
    /// What the images were.
    pub measured_on: String,
    /// How many.
    pub images: u64,
    /// Mean of the classes' intersections over unions, over the classes that occur in the labels.
    pub mean_iou: f64,
    /// Intersection over union of each class, by id; none where the labels have no pixel of it.
    pub class_iou: Vec<Option<f64>>,
    /// Share of the labelled pixels whose class is right.
    pub pixel_accuracy: f64,
}

impl HeadEntry {
    /// Refuses what a directory could not be opened with.
    pub(super) fn check(
        &self,
        name: &ModelName,
        spec: ResNetSpec,
        tensors: &Tensors,
    ) -> Result<(), ModelError> {
        let head = |detail| ModelError::Head {
            name: name.clone(),
            detail,
        };
        match self.contradiction() {
            Some(detail) => Err(head(detail)),
            None => self
                .read(spec, tensors)
                .map(drop)
                .map_err(|error| head(error.to_string())),
        }
    }

    /// The head of these tensors, on the features of a network.
    pub(super) fn read(
        &self,
        spec: ResNetSpec,
        tensors: &Tensors,
    ) -> Result<SegmentationHead, HeadError> {
        let channels = spec.channels(self.stage);
        SegmentationHead::from_tensors(self.kind, tensors, channels, self.classes.len())
    }

    /// What does not fit, if anything.
    pub(super) fn contradiction(&self) -> Option<String> {
        let classes = self.classes.len();
        let measured = self.quality.as_ref().map(|quality| quality.class_iou.len());
        if !(1..=SegmentMap::MAX_SEGMENTS).contains(&classes) {
            Some(format!("{classes} classes"))
        } else if measured.is_some_and(|measured| measured != classes) {
            Some("another number of classes than of their intersections over unions".to_owned())
        } else {
            let size = Preprocess::center_crop(self.size).err();
            size.map(|error| error.to_string())
        }
    }
}
