//! Any bytes: decoding gives an image within the limits or an error, and preprocessing takes every image.

#![no_main]

use detcon_core::image::{ImageLimits, decode, decode_stored};
use detcon_core::preprocess::Preprocess;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = ImageLimits { bytes: 1 << 20, pixels: 1 << 20, side: 4096 };
    let (upright, stored) = (decode(bytes, &limits), decode_stored(bytes, &limits));
    assert_eq!(upright.is_ok(), stored.is_ok());
    if let Ok(image) = upright {
        assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.pixels);
        let preprocess = Preprocess::center_crop(32).expect("a possible size");
        assert_eq!(preprocess.apply(&image).pixels().len(), preprocess.output_len());
    }
});
