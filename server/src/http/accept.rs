//! Which representation of an answer a client wants: `Accept`, with its weights (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use super::Problem;

/// A representation of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// JSON, in a shape of the route's own.
    Json,
    /// NumPy's array file.
    Npy,
    /// A safetensors file.
    Safetensors,
    /// A picture.
    Png,
}

impl Representation {
    /// The media type.
    #[must_use]
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Npy => "application/x-npy",
            Self::Safetensors => "application/safetensors",
            Self::Png => "image/png",
        }
    }

    /// The one of `offers` that the client weighs most; among equals, the first.
    pub(crate) fn negotiate(headers: &HeaderMap, offers: &[Self]) -> Result<Self, Problem> {
        let values: Vec<_> = headers.get_all(header::ACCEPT).iter().collect();
        let accept = match values.as_slice() {
            [] => "*/*".to_owned(),
            values => values
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let weighed = offers.iter().map(|&offer| (weight(offer, &ranges), offer));
        match weighed.rev().max_by(|(a, _), (b, _)| a.total_cmp(b)) {
            Some((weight, offer)) if weight > 0.0 => Ok(offer),
            _ => Err(Problem::NotAcceptable {
                accept: accept.chars().take(200).collect(),
                offers: offers
                    .iter()
                    .map(|offer| offer.media_type())
                    .collect::<Vec<_>>()
                    .join(", "),
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

    const OFFERS: [Representation; 3] = [
        Representation::Json,
        Representation::Npy,
        Representation::Safetensors,
    ];

    fn negotiate(accept: &str) -> Result<Representation, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Representation::negotiate(&headers, &OFFERS)
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
            Representation::negotiate(&HeaderMap::new(), &OFFERS),
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
