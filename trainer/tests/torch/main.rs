//! The pieces of a training step, and whole steps, against the published code's own numbers.

mod augment;
mod cases;
mod encoder;
mod export;
mod golden;
mod images;
mod judging;
mod loader;
mod loss;
mod masks;
mod methods;
mod optimizer;
mod program;
mod recipe;
mod run;
mod schedules;
mod steps;
mod train_steps;
