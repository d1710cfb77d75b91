//! What `detcon-core` makes of images, masks and settings, held to the published code and to other implementations.

mod fixtures;
mod golden;
mod image;
mod image_hostile;
mod preprocess;
mod regions;
mod segment;
