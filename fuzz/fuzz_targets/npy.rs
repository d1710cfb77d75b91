//! Any bytes as the header of a `.npy` file: it is read or refused, and a header that is read lies inside the file. Good
//! seeds are the first kilobytes of the golden checkpoints; `npy.dict` holds the words of the header.
#![no_main]

use detcon_converter::npy::{self, MAGIC};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = npy::pickle_start(bytes);
    // Few inputs start with a whole head, so each is also taken for the literal behind one.
    let literal = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(literal.len()).expect("cut to fit");
    let file = [MAGIC, &[1, 0], &length.to_le_bytes(), literal].concat();
    if let Ok(start) = npy::pickle_start(&file) {
        assert_eq!(start, file.len());
        assert!(
            literal
                .windows(4)
                .any(|window| window == b"'|O'" || window == b"\"|O\"")
        );
    }
});
