//! Any bytes, read as a checkpoint: every outcome but a value or an error is a fault. Good seeds are the golden
//! checkpoints and the pickles in `converter/tests/pickle/protocols`; `pickle.dict` holds the words of the language.
#![no_main]

use detcon_converter::haiku::{HaikuTree, Network};
use detcon_converter::pickle::{self, Limits, Value};
use detcon_converter::source::{self, Content};
use libfuzzer_sys::fuzz_target;

/// Small enough that what gets past them exhausts the fuzzer's memory.
fn limits() -> Limits {
    Limits {
        opcodes: 100_000,
        memo_entries: 50_000,
        values: 50_000,
        array_bytes: 1 << 20,
        total_array_bytes: 16 << 20,
        ..Limits::default()
    }
}

fn walk(value: &Value<'_>) {
    for network in [Network::Online, Network::Target] {
        let Ok(tree) = HaikuTree::read(value, network) else {
            continue;
        };
        for entry in &tree.entries {
            let _ = entry.array.to_f32();
            let _ = entry.array.to_i64();
        }
        let _ = tree.devices();
        let _ = tree.first_device();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = limits();
    let _ = source::globals(bytes, &limits);
    let _ = pickle::globals(bytes, 0, &limits);
    if let Ok(value) = source::read(bytes, &limits) {
        walk(&value);
    }
    // PyTorch's files as well, whose pickles name storages beside them.
    if let Ok(Content::Torch(state)) = source::open(bytes, Network::Online, &limits) {
        let _ = state.networks();
        if let Ok(backbone) = state.backbone(None) {
            let _ = (state.beside(&backbone), state.unused(&backbone));
        }
        for (_, array) in state.entries() {
            let _ = array.to_f32();
        }
    }
    if let Ok(value) = pickle::parse(bytes, &limits) {
        walk(&value);
    }
});
