//! Data sets as they lie on disks, for the trainer and the extractor: what holds images and their masks, and which
//! share of it a worker does.
//!
//! - [`tfrecord`]: the container, records with checksums;
//! - [`example`]: `tf.train.Example`, what a record holds;
//! - [`sample`]: an image with its label and masks, in upstream's features;
//! - [`shards`]: the files of a data set, and the samples in them;
//! - [`annotations`]: objects that people outlined, as COCO writes them;
//! - [`image_name`]: which files are images;
//! - [`share`]: which of several workers this one is.

pub mod annotations;
pub mod example;
pub mod image_name;
pub mod sample;
pub mod shards;
pub mod share;
pub mod tfrecord;
