//! The binary tensor extension: JSON first, then the tensors' bytes one after the other.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;

use crate::http::{Problem, invalid};

/// Length of the JSON in front of the tensors.
pub(super) const JSON_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");
/// Length of the number in front of each element of a BYTES tensor.
const PREFIX: usize = size_of::<u32>();

/// A body as its header divides it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// No JSON: all of it is the one input.
    Raw(Bytes),
    /// JSON, and the tensors after it.
    Parts {
        /// The JSON.
        json: Bytes,
        /// Tensors' bytes.
        tensors: Bytes,
    },
}

impl Message {
    /// Divides a body.
    pub(super) fn of(headers: &HeaderMap, mut body: Bytes) -> Result<Self, Problem> {
        let Some(value) = headers.get(&JSON_LENGTH) else {
            let tensors = Bytes::new();
            return Ok(Self::Parts {
                json: body,
                tensors,
            });
        };
        let name = "Inference-Header-Content-Length";
        let length = value.to_str().ok().and_then(|text| text.parse().ok());
        let length: usize = length.ok_or_else(|| invalid(name, "it is no number of bytes"))?;
        if length == 0 {
            return Ok(Self::Raw(body));
        }
        if length > body.len() {
            let detail = format!(
                "it says that the JSON has {length} bytes, and the whole body has {}",
                body.len()
            );
            return Err(invalid(name, detail));
        }
        let json = body.split_to(length);
        Ok(Self::Parts {
            json,
            tensors: body,
        })
    }
}

/// Takes a tensor's bytes off the front.
pub(super) fn take(tensors: &mut Bytes, name: &str, bytes: usize) -> Result<Bytes, Problem> {
    if bytes > tensors.len() {
        let detail = format!(
            "it says {bytes} bytes, and {} are left after the JSON",
            tensors.len()
        );
        return Err(invalid(&format!("{name}.binary_data_size"), detail));
    }
    Ok(tensors.split_to(bytes))
}

/// The elements of a BYTES tensor: each is its length as little-endian uint32, and its bytes.
pub(super) fn elements(mut data: Bytes, name: &str, count: usize) -> Result<Vec<Bytes>, Problem> {
    let mut elements = Vec::new();
    while elements.len() < count {
        let index = elements.len();
        let wrong = |detail: String| invalid(&format!("{name}[{index}]"), detail);
        let Some(prefix) = data.first_chunk::<PREFIX>() else {
            let detail = "the data ends before it: an element is its length as 4 bytes, little-endian, and its bytes";
            return Err(wrong(detail.to_owned()));
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        let rest = data.split_off(PREFIX);
        if length > rest.len() {
            let detail = format!("it says {length} bytes, and {} are left", rest.len());
            return Err(wrong(detail));
        }
        data = rest;
        elements.push(data.split_to(length));
    }
    if data.is_empty() {
        Ok(elements)
    } else {
        let detail = format!(
            "{} bytes are left after the {count} elements of its shape",
            data.len()
        );
        Err(invalid(name, detail))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided(length: Option<&str>, body: &'static [u8]) -> Result<Message, Problem> {
        let headers = length.map(|length| (JSON_LENGTH, length.parse().unwrap()));
        Message::of(&headers.into_iter().collect(), Bytes::from_static(body))
    }

    #[test]
    fn a_body_is_divided_where_its_header_says() {
        let parts = |json, tensors| Message::Parts {
            json: Bytes::from_static(json),
            tensors: Bytes::from_static(tensors),
        };
        assert_eq!(divided(None, b"{}").unwrap(), parts(b"{}", b""));
        assert_eq!(divided(Some("2"), b"{}ab").unwrap(), parts(b"{}", b"ab"));
        let raw = Message::Raw(Bytes::from_static(b"ab"));
        assert_eq!(divided(Some("0"), b"ab").unwrap(), raw);
        for lie in ["5", "-1", "two", "", "99999999999999999999"] {
            let refused = divided(Some(lie), b"{}ab").unwrap_err();
            assert_eq!(refused.status(), 400, "{lie}");
        }
    }

    #[test]
    fn elements_are_as_long_as_they_say() {
        let data = Bytes::from_static(b"\x02\0\0\0ab\0\0\0\0");
        let found = elements(data.clone(), "image", 2).unwrap();
        assert_eq!(found, [&b"ab"[..], b""]);
        for (bytes, count, at) in [
            (&data[..], 1, "image"),
            (&data[..], 3, "image[2]"),
            (b"\x03\0\0\0ab", 1, "image[0]"),
            (b"\xff\xff\xff\xff", 1, "image[0]"),
            (b"\x01\0", 1, "image[0]"),
        ] {
            let refused = elements(Bytes::copy_from_slice(bytes), "image", count);
            let Err(Problem::InvalidField { field, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(field, at);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..40), count in 0_usize..9) {
            let _ = elements(bytes.into(), "image", count);
        }
    }
}
