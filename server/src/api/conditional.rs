//! Conditions and ranges of requests for files (RFC 9110, sections 13 and 14). Every `ETag` here is strong: quotes
//! around hexadecimal digits.

use axum::http::{HeaderMap, HeaderName, header};
use http_range_header::{EndPosition, StartPosition, parse_range_header};

use crate::http::Problem;

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it starts.
    pub(super) first: u64,
    /// Its bytes.
    pub(super) length: u64,
    /// Whether it is sent as all that there is.
    pub(super) whole: bool,
}

/// Whether the client has the file already.
pub(crate) fn is_unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = tags
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The part that the client asks for: one range of a file that is still the one it means, or else all of it.
pub(super) fn part(headers: &HeaderMap, etag: &str, bytes: u64) -> Result<Part, Problem> {
    let whole = Part {
        first: 0,
        length: bytes,
        whole: true,
    };
    let meant = text(headers, &header::IF_RANGE).is_none_or(|tag| tag == etag);
    let range = text(headers, &header::RANGE).filter(|_| meant);
    // What is no range of bytes is to be ignored, and several ranges may be.
    let ranges = range.map(parse_range_header);
    let Some([range]) = ranges
        .as_ref()
        .and_then(|it| Some(it.as_ref().ok()?.ranges.as_slice()))
    else {
        return Ok(whole);
    };
    let last = bytes.saturating_sub(1);
    let (first, last) = match (range.start, range.end) {
        (StartPosition::Index(first), EndPosition::Index(end)) if end < first => return Ok(whole),
        (StartPosition::Index(first), EndPosition::Index(end)) => (first, end.min(last)),
        (StartPosition::Index(first), EndPosition::LastByte) => (first, last),
        // As many bytes from the end as there are, at most.
        (StartPosition::FromLast(count), _) => (bytes.saturating_sub(count), last),
    };
    if first >= bytes {
        return Err(Problem::RangeNotSatisfiable { bytes });
    }
    Ok(Part {
        first,
        length: last - first + 1,
        whole: false,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_range_is_a_part_of_the_file() {
        for (range, first, length) in [
            ("bytes=0-0", 0, 1),
            ("bytes=2-4", 2, 3),
            ("bytes=7-", 7, 3),
            ("bytes=-4", 6, 4),
            ("bytes=8-99", 8, 2),
            ("bytes=-99", 0, 10),
            ("bytes=0-18446744073709551615", 0, 10),
        ] {
            let found = part(&headers(&[(header::RANGE, range)]), ETAG, 10).unwrap();
            let expected = Part {
                first,
                length,
                whole: false,
            };
            assert_eq!(found, expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_gives_the_whole_file() {
        for range in [
            "lines=1-2",
            "bytes=a-b",
            "bytes",
            "bytes=0-1,4-5",
            "bytes=5-2",
            "bytes=0-5,2-3",
            "bytes=-0",
            "",
        ] {
            let found = part(&headers(&[(header::RANGE, range)]), ETAG, 10).unwrap();
            assert!(found.whole && found.length == 10, "{range}: {found:?}");
        }
    }

    #[test]
    fn a_range_past_the_end_is_refused() {
        for (range, bytes) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=0-", 0),
            ("bytes=-1", 0),
        ] {
            let found = part(&headers(&[(header::RANGE, range)]), ETAG, bytes);
            assert_eq!(
                found,
                Err(Problem::RangeNotSatisfiable { bytes }),
                "{range}"
            );
        }
    }

    #[test]
    fn a_range_of_another_file_gives_the_whole_of_this() {
        for (tag, whole) in [
            (ETAG, false),
            ("\"abd\"", true),
            ("W/\"abc\"", true),
            ("Mon, 23 Nov 2026 00:00:00 GMT", true),
        ] {
            let asked = headers(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, tag)]);
            assert_eq!(part(&asked, ETAG, 10).unwrap().whole, whole, "{tag}");
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent() {
        for (tags, unchanged) in [
            (ETAG, true),
            ("*", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("\"x\"", false),
            ("abc", false),
        ] {
            let asked = headers(&[(header::IF_NONE_MATCH, tags)]);
            assert_eq!(is_unchanged(&asked, ETAG), unchanged, "{tags}");
        }
        assert!(!is_unchanged(&HeaderMap::new(), ETAG));
    }
}
