//! Data for pretraining: TFRecord shards of images with their segments, read and written.
//!
//! - [`tfrecord`]: the container, records with checksums;
//! - [`example`]: `tf.train.Example`, what a record holds;
//! - [`sample`]: an image with its label and masks, in upstream's features;
//! - [`shards`]: the files of a data set, and the samples in them;
//! - [`masks`]: images in, shards with masks out.

pub mod example;
pub mod masks;
pub mod sample;
pub mod shards;
pub mod tfrecord;
