//! Any bytes as the body of a request: read within the limits, or refused as the client's fault.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| detcon_server::fuzzing::request(bytes));
