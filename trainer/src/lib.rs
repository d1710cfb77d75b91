//! Pretraining with DetCon: its data, and (cargo feature `torch`, on by default) its method on libtorch.
//!
//! - [`detcon_data`]: what data sets are stored in;
//! - [`masks`]: images in, shards with masks out;
//! - `network`, `objective`, `augment`, `optimizer`, [`schedule`]: what a step is made of, each held to the published
//!   code's own numbers;
//! - [`objects`]: a data set that is drawn, to try training on;
//! - `device`: the CPU or CUDA; `tensor`: libtorch's tensors and the core's; `distributed`: ranks that train together; `judge`: how good features are;
//! - `export`: a run's checkpoint to a model directory;
//! - `frozen`: a model directory's backbone; `finetune`: segmentation heads on its features; `probe`: how good
//!   they are;
//! - `loader`: a data set to batches; `learner`: the step; `memory`: what it takes; `run`: steps, metrics and
//!   checkpoints, by a `recipe`;
//!   [`report`]: a run on one page; [`random`]:
//!   random numbers that do not depend on who drew before.

#[cfg(feature = "torch")]
pub mod augment;
#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod distributed;
#[cfg(feature = "torch")]
pub mod export;
#[cfg(feature = "torch")]
pub mod finetune;
#[cfg(feature = "torch")]
pub mod frozen;
#[cfg(feature = "torch")]
pub mod judge;
#[cfg(feature = "torch")]
pub mod learner;
#[cfg(feature = "torch")]
pub mod loader;
pub mod masks;
#[cfg(feature = "torch")]
pub mod memory;
#[cfg(feature = "torch")]
pub mod network;
#[cfg(feature = "torch")]
pub mod objective;
pub mod objects;
#[cfg(feature = "torch")]
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod probe;
pub mod random;
#[cfg(feature = "torch")]
pub mod recipe;
pub mod report;
#[cfg(feature = "torch")]
pub mod run;
pub mod schedule;
#[cfg(feature = "torch")]
pub mod tensor;
