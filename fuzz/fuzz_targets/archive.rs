//! Any bytes as an archive of a model: files of a model directory within the limit, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| detcon_server::fuzzing::archive(bytes));
