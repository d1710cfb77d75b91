//! What the program does beside serving: measuring a server, and asking one how it is.

pub mod allocator;
pub mod bench;
pub mod health;
