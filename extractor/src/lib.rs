//! Data sets instead of requests: embeddings, regions and dense features of millions of images, on as many machines as
//! there are. It computes through [`detcon_inference`], so that its numbers are those of the server.
//!
//! - [`place`]: where images are and where parts go: folders, and buckets;
//! - [`input`]: which images there are, and how they are divided into parts;
//! - [`work`]: what is computed of an image;
//! - [`output`]: parts, which appear whole or not at all, and what they say of themselves;
//! - [`pipeline`]: reading, decoding, computing and writing at the same time, in bounded memory;
//! - [`count`]: how far a run is.

pub mod count;
pub mod input;
pub mod output;
pub mod pipeline;
pub mod place;
pub mod work;
