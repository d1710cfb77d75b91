//! How good features are, while a run learns and after it: [`knn`] needs no training of its own.

pub mod knn;
