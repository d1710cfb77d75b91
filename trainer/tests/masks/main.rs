//! Data sets through the real program and the library: upstream's shards read, own shards written, taken up again
//! after a kill, and damaged ones refused.

mod damage;
mod golden;
mod images;
mod layouts;
mod modes;
mod program;
mod resume;
mod sources;
