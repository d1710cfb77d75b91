//! What a request and an answer are over HTTP: the representations that a client accepts, bodies and what they hold,
//! fields, the encodings of answers, and the problems that are told instead of one.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod contents;
pub(crate) mod encode;
pub(crate) mod error_format;
pub(crate) mod fields;
pub(crate) mod image_fetch;
pub(crate) mod inflate;
pub(crate) mod json;
mod multipart;
mod origin;
pub(crate) mod parameters;
mod problem;
pub(crate) mod provenance;
pub(crate) mod urgency;
pub(crate) mod written;

pub(crate) use accept::Representation;
pub(crate) use body::Limits;
pub(crate) use contents::{BodyFormat, Contents, contents};
pub(crate) use fields::{Fields, Mask, RequestFields, invalid};
pub(crate) use origin::{ImageOrigin, Origin};
pub(crate) use problem::{Problem, ProblemBody};
pub(crate) use provenance::Provenance;
pub(crate) use written::Written;
