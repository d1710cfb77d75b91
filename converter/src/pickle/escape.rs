//! Operands of protocol 0: numbers as decimal text, byte strings as Python 2 printed them, Unicode with
//! `\uXXXX` escapes. Refuses escapes that are cut off and characters that are no Unicode scalar values.

use std::sync::Arc;

use super::error::PickleError;
use super::shared::{Data, Text};

/// A decimal integer of up to 64 bits.
pub(super) fn integer(line: &[u8], offset: usize) -> Result<i64, PickleError> {
    use std::num::IntErrorKind;
    let text = std::str::from_utf8(line).map_err(|_| PickleError::InvalidText { offset })?;
    text.parse()
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                PickleError::IntegerTooLarge { offset }
            }
            _ => PickleError::InvalidText { offset },
        })
}

/// A memo index.
pub(super) fn index(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// A float as Python's `repr` prints it.
pub(super) fn float(line: &[u8]) -> Option<f64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// A byte string as Python 2's `repr` prints it, quotes included.
pub(super) fn quoted(line: &[u8]) -> Option<Data<'_>> {
    let quote = *line.first()?;
    if !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let inner = line.get(1..)?.strip_suffix(&[quote])?;
    if !inner.contains(&b'\\') {
        return Some(Data::File(inner));
    }
    let mut decoded = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = if byte == b'\\' {
            byte_escape(after, &mut decoded)?
        } else {
            decoded.push(byte);
            after
        };
    }
    Some(Data::Decoded(Arc::from(decoded)))
}

/// Decodes what follows a backslash and gives back what follows that.
fn byte_escape<'a>(escaped: &'a [u8], decoded: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&code, after) = escaped.split_first()?;
    let byte = match code {
        b'\\' | b'\'' | b'"' => code,
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'x' => {
            decoded.push(u8::try_from(radix(after.get(..2)?, 16)?).ok()?);
            return after.get(2..);
        }
        b'0'..=b'7' => {
            let digits = escaped
                .iter()
                .take(3)
                .take_while(|digit| matches!(digit, b'0'..=b'7'))
                .count();
            decoded.push(u8::try_from(radix(escaped.get(..digits)?, 8)?).ok()?);
            return escaped.get(digits..);
        }
        _ => return None,
    };
    decoded.push(byte);
    Some(after)
}

/// Text in Python's `raw-unicode-escape`: Latin-1 in which `\uXXXX` and `\UXXXXXXXX` stand for the rest.
pub(super) fn unicode(line: &[u8]) -> Option<Text<'_>> {
    if let Some(text) = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.is_ascii() && !text.contains('\\'))
    {
        return Some(Text::File(text));
    }
    let mut decoded = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        rest = if digits > 0 {
            decoded.push(char::from_u32(radix(after.get(1..=digits)?, 16)?)?);
            after.get(1 + digits..)?
        } else {
            decoded.push(char::from(byte));
            after
        };
    }
    Some(Text::Decoded(Arc::from(decoded)))
}

/// The bytes of text in Latin-1, if all its characters are in it.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect()
}

/// Digits without a sign, which `from_str_radix` would take.
fn radix(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, &digit| {
        value
            .checked_mul(radix)?
            .checked_add(char::from(digit).to_digit(radix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_gives_back_the_bytes_that_python_printed() {
        assert_eq!(&*quoted(br"'plain'").unwrap(), b"plain");
        assert_eq!(&*quoted(br#""it's""#).unwrap(), b"it's");
        assert_eq!(
            &*quoted(br"'\x00\xff\\\n\'\101'").unwrap(),
            b"\x00\xff\\\n'A"
        );
        for damaged in [
            &b""[..],
            b"'",
            b"'a",
            b"a'",
            br"'\x0'",
            br"'\'",
            br"'\q'",
            br"'\777'",
            b"\"a'",
        ] {
            assert!(quoted(damaged).is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn unicode_escapes_are_scalar_values() {
        assert_eq!(&*unicode(b"plain").unwrap(), "plain");
        assert_eq!(&*unicode(br"\u005cn \U0001f600").unwrap(), "\\n \u{1f600}");
        assert_eq!(&*unicode(b"caf\xe9").unwrap(), "café");
        for damaged in [&br"\u12"[..], br"\ud800", br"\U00110000", br"\u+123"] {
            assert!(unicode(damaged).is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_named_as_such() {
        assert_eq!(integer(b"-9223372036854775808", 3), Ok(i64::MIN));
        assert_eq!(
            integer(b"9223372036854775808", 3),
            Err(PickleError::IntegerTooLarge { offset: 3 })
        );
        assert_eq!(
            integer(b"0x10", 3),
            Err(PickleError::InvalidText { offset: 3 })
        );
        assert_eq!(index(b"-1"), None);
    }
}
