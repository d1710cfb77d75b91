//! The checksum of the format: CRC32C, masked.

/// The masked CRC32C of `bytes`. It is rotated and shifted by a constant so that the checksum of data that holds
/// checksums stays a good one (TensorFlow's `crc32c.h`).
pub(super) fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4: the CRC32C of 32 zero bytes is 0x8a9136aa.
    #[test]
    fn the_mask_is_a_rotation_and_a_constant() {
        let unmasked = masked_crc32c(&[0; 32]).wrapping_sub(0xa282_ead8);
        assert_eq!(unmasked.rotate_left(15), 0x8a91_36aa);
    }
}
