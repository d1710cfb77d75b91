//! End-to-end tests: published checkpoints in, embeddings of photographs out, through the real converter and
//! the real server. One binary; a file a subject.

mod answers;
mod checkpoints;
mod costs;
mod crowd;
mod encoder;
mod export;
mod fetch;
mod heads;
mod import;
mod inference;
mod lifecycle;
mod photographs;
mod precision;
mod problems;
mod protection;
mod quantize;
mod regions;
mod regions_refused;
mod steady;
mod swap;
mod torch;
mod trees;
mod variants;
mod verify;
