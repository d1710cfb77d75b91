//! End-to-end tests: published checkpoints in, embeddings of photographs out, through the real converter and
//! the real server. One binary; a file a subject.

mod answers;
mod checkpoints;
mod encoder;
mod export;
mod fetch;
mod import;
mod lifecycle;
mod photographs;
mod precision;
mod problems;
mod protection;
mod quantize;
mod regions;
mod swap;
mod variants;
mod verify;
