//! Which representation of an answer a client wants: `Accept`, with its weights (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// A representation of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// OpenAI's list.
    Json,
    /// NumPy's array file, float32 `[N, D]`.
    Npy,
    /// A safetensors file with `embeddings` float32 `[N, D]`.
    Safetensors,
}

impl Representation {
    /// In the server's order of preference.
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::Npy, Self::Safetensors];

    /// The media type.
    #[must_use]
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Npy => "application/x-npy",
            Self::Safetensors => "application/safetensors",
        }
    }

    /// The one that the client weighs most; among equals, the first of [`Self::ALL`].
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Problem> {
        let values: Vec<_> = headers.get_all(header::ACCEPT).iter().collect();
        if values.is_empty() {
            return Ok(Self::Json);
        }
        let accept = values
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect::<Vec<_>>()
            .join(", ");
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let weighed =
            Self::ALL.map(|representation| (weight(representation, &ranges), representation));
        let best = weighed
            .into_iter()
            .rev()
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        match best {
            Some((weight, representation)) if weight > 0.0 => Ok(representation),
            _ => Err(Problem::NotAcceptable {
                accept: accept.chars().take(200).collect(),
            }),
        }
    }
}

/// One part of an `Accept` header.
struct Range {
    kind: String,
    subtype: String,
    weight: f32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.map_or(Some(1.0), |q| {
            q.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))
        })?;
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            weight,
        })
    }

    /// How closely it names a media type: not at all, everything, its kind, or itself.
    fn closeness(&self, media_type: &str) -> Option<u8> {
        let (kind, subtype) = media_type.split_once('/')?;
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => Some(0),
            (k, "*") if k == kind => Some(1),
            (k, s) if (k, s) == (kind, subtype) => Some(2),
            _ => None,
        }
    }
}

/// The weight of the closest range.
fn weight(representation: Representation, ranges: &[Range]) -> f32 {
    let media_type = representation.media_type();
    let matching = ranges
        .iter()
        .filter_map(|range| Some((range.closeness(media_type)?, range.weight)));
    matching
        .max_by_key(|(closeness, _)| *closeness)
        .map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn negotiate(accept: &str) -> Result<Representation, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Representation::negotiate(&headers)
    }

    #[test]
    fn the_representation_that_is_weighed_most_is_sent() {
        for (accept, expected) in [
            ("*/*", Representation::Json),
            ("application/*", Representation::Json),
            ("application/x-npy", Representation::Npy),
            ("Application/SafeTensors", Representation::Safetensors),
            (
                "application/json;q=0.5, application/x-npy",
                Representation::Npy,
            ),
            ("application/json;q=0, */*", Representation::Npy),
            (
                "text/html, application/safetensors;q=0.1",
                Representation::Safetensors,
            ),
        ] {
            assert_eq!(negotiate(accept), Ok(expected), "{accept}");
        }
        assert_eq!(
            Representation::negotiate(&HeaderMap::new()),
            Ok(Representation::Json)
        );
    }

    #[test]
    fn a_client_that_accepts_nothing_of_it_is_told_so() {
        for accept in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "nonsense",
            "",
            "application/json;q=2",
        ] {
            assert!(
                matches!(negotiate(accept), Err(Problem::NotAcceptable { .. })),
                "{accept}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(accept in "[ -~]{0,80}") {
            let _ = negotiate(&accept);
        }
    }
}
