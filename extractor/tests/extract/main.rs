//! Data sets through the real program: every form of input gives the server's numbers, parts are the same whoever makes
//! them, and what is wrong is said in one line.

mod inputs;
mod kills;
mod parts;
mod program;
mod refusals;
mod regions;
mod s3;
mod sets;
mod stores;
