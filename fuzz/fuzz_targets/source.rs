//! Any bytes as a checkpoint of any kind: NumPy's archives, flax's msgpack, safetensors, PyTorch's files. Each is read or
//! refused, and of what is read every network is looked for and every tensor taken. Good seeds are small files of each kind;
//! the first byte says which reader gets the rest whatever its first bytes are.
#![no_main]

use detcon_converter::haiku::Network;
use detcon_converter::pickle::Limits;
use detcon_converter::source::{self, Content};
use libfuzzer_sys::fuzz_target;

/// What the files that the readers know begin with.
const HEADS: [&[u8]; 4] = [b"", b"PK\x03\x04", b"\x81\xa1", b"\x82\xa6params"];

fn limits() -> Limits {
    Limits {
        opcodes: 100_000,
        values: 50_000,
        array_bytes: 1 << 20,
        total_array_bytes: 16 << 20,
        ..Limits::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else {
        return;
    };
    let file = [HEADS[usize::from(first) % HEADS.len()], rest].concat();
    match source::open(&file, Network::Online, &limits()) {
        Ok(Content::Torch(file)) => {
            let networks = file.networks();
            let places = networks.iter().map(|it| Some(it.place.as_str()));
            for place in places.chain([None]) {
                if let Ok(backbone) = file.backbone(place) {
                    let _ = (file.beside(&backbone), file.unused(&backbone), file.layout(&backbone));
                }
            }
            for (_, array) in file.entries() {
                let _ = array.to_f32();
            }
        }
        Ok(Content::Haiku(tree)) => {
            for entry in &tree.entries {
                let _ = entry.array.to_f32();
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let index: &[&[u8]] = &[&file, &file];
    let _ = source::open_shards(index, &[]);
});
