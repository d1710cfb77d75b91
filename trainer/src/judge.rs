//! How good features are, while a run learns and after it: [`knn`] needs no training of its own, and a [`Judge`] asks
//! it every so many steps. [`linear`] learns from the features, which takes longer.

pub mod knn;
pub mod linear;
mod online;

pub use self::online::{Judge, JudgeError};
