//! The pieces of a training step, and whole steps, against the published code's own numbers.

mod augment;
mod encoder;
mod golden;
mod loss;
mod masks;
mod optimizer;
mod schedules;
mod train_steps;
