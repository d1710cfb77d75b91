//! Compressed run lengths as pycocotools writes them (`rleToString`): a kind of LEB128 in the 64 characters from `0`
//! to `o`, five bits and a continuation bit each, and from the fourth run on the difference to the last but one.
//! It refuses other characters, numbers beyond 32 bits, and an end within a number.

use super::{Mask, RegionError};

/// The character of value 0.
const ZERO: u8 = b'0';
const CONTINUES: u8 = 0x20;
const SIGN: u8 = 0x10;
const PAYLOAD_BITS: u32 = 5;
/// Characters of the longest number: a signed difference of 32-bit runs has 33 bits.
const MAX_CHARACTERS: u32 = 7;

impl Mask {
    /// Reads compressed run lengths.
    pub fn from_compressed(height: u32, width: u32, text: &[u8]) -> Result<Self, RegionError> {
        let mut counts: Vec<u32> = Vec::new();
        let mut offset = 0;
        while offset < text.len() {
            let start = offset;
            let mut count = read_number(text, &mut offset)?;
            if let Some(place) = counts.len().checked_sub(2).filter(|&place| place > 0) {
                count += i64::from(counts[place]);
            }
            counts.push(u32::try_from(count).map_err(|_| RegionError::RunText {
                offset: start,
                detail: "a run is negative or has more than 32 bits",
            })?);
        }
        Self::from_counts(height, width, &counts)
    }

    /// Writes compressed run lengths, as pycocotools does.
    #[must_use]
    pub fn to_compressed(&self) -> String {
        let counts = self.counts();
        let mut text = String::new();
        for (i, &count) in counts.iter().enumerate() {
            let before = if i > 2 { counts[i - 2] } else { 0 };
            write_number(i64::from(count) - i64::from(before), &mut text);
        }
        text
    }
}

fn read_number(text: &[u8], offset: &mut usize) -> Result<i64, RegionError> {
    let mut number = 0;
    for character in 0..MAX_CHARACTERS {
        let at = *offset;
        let refusal = |detail| RegionError::RunText { offset: at, detail };
        let byte = *text.get(at).ok_or(refusal("it ends within a number"))?;
        let bits = byte.checked_sub(ZERO).filter(|&bits| bits < 64);
        let bits = bits.ok_or(refusal("this character is none of its 64"))?;
        *offset += 1;
        number |= i64::from(bits & 0x1f) << (PAYLOAD_BITS * character);
        if bits & CONTINUES == 0 {
            if bits & SIGN != 0 {
                number |= -1 << (PAYLOAD_BITS * (character + 1));
            }
            return Ok(number);
        }
    }
    let (offset, detail) = (*offset, "a number has more than 35 bits");
    Err(RegionError::RunText { offset, detail })
}

fn write_number(mut number: i64, text: &mut String) {
    loop {
        let bits = number.to_le_bytes()[0] & 0x1f;
        number >>= PAYLOAD_BITS;
        let done = number == if bits & SIGN == 0 { 0 } else { -1 };
        let continues = if done { 0 } else { CONTINUES };
        text.push(char::from(ZERO + (bits | continues)));
        if done {
            return;
        }
    }
}
