//! How good features are, while a run learns and after it: [`knn`] needs no training of its own, and a [`Judge`] asks
//! it every so many steps.

pub mod knn;
mod online;

pub use self::online::{Judge, JudgeError};
