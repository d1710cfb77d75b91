//! OpenAI's embeddings request, with images as data URIs. Unknown fields and wrong types are errors that name them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{invalid, unknown};
use super::{Embeddings, Encoding};
use crate::problem::Problem;

/// What the fields are called, as errors list them.
const KNOWN: [&str; 6] = [
    "model",
    "input",
    "encoding_format",
    "normalize",
    "dimensions",
    "user",
];

/// A request in OpenAI's shape.
// The document's schema; requests are read field by field, so that an error can name the one at fault.
#[derive(Deserialize, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddingsRequest {
    /// Name of the model; may be left out where one is served or a default is set.
    model: Option<String>,
    /// One image or several, each as a data URI.
    input: ImageInput,
    /// How the vectors are written: `float` or `base64` (little-endian float32).
    #[schema(inline)]
    encoding_format: Option<EncodingFormat>,
    /// Whether vectors are divided by their length.
    normalize: Option<bool>,
    /// Length of the vectors; only the model's own is possible.
    dimensions: Option<usize>,
    /// Ignored.
    user: Option<String>,
}

/// One data URI (`data:image/png;base64,…`) or a list of them.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub(crate) enum ImageInput {
    /// One image.
    One(String),
    /// Several images, in order.
    Many(Vec<String>),
}

/// How the vectors are written.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// As numbers.
    Float,
    /// As base64 of little-endian float32.
    Base64,
}

/// Reads the body; `query` holds the model and the wish for unit length that the query named.
pub(super) fn read(
    body: &[u8],
    query: (Option<String>, Option<bool>),
    limit: usize,
) -> Result<Embeddings, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Problem::MalformedJson {
        detail: error.to_string(),
    })?;
    let Value::Object(object) = value else {
        return Err(Problem::MalformedJson {
            detail: "it holds something other than an object".to_owned(),
        });
    };
    if let Some(name) = object.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(unknown(name, KNOWN.join(", ")));
    }
    text(&object, "user")?;
    Ok(Embeddings {
        model: once("model", query.0, text(&object, "model")?.map(str::to_owned))?,
        normalize: once("normalize", query.1, boolean(&object, "normalize")?)?.unwrap_or(false),
        encoding: encoding(&object)?,
        dimensions: dimensions(&object)?,
        images: images(object.get("input"), limit)?,
    })
}

/// A field from the query or from the body, but not from both.
fn once<T>(name: &str, query: Option<T>, body: Option<T>) -> Result<Option<T>, Problem> {
    match (query, body) {
        (Some(_), Some(_)) => Err(invalid(name, "it is given twice: give it once")),
        (query, body) => Ok(query.or(body)),
    }
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Problem> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(field, "it is not a string")),
    }
}

fn boolean(object: &Map<String, Value>, field: &str) -> Result<Option<bool>, Problem> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(invalid(field, "it is neither true nor false")),
    }
}

fn encoding(object: &Map<String, Value>) -> Result<Encoding, Problem> {
    match text(object, "encoding_format")? {
        None | Some("float") => Ok(Encoding::Float),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(invalid(
            "encoding_format",
            "it is neither \"float\" nor \"base64\"",
        )),
    }
}

fn dimensions(object: &Map<String, Value>) -> Result<Option<usize>, Problem> {
    match object.get("dimensions") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(dimensions) => Ok(Some(dimensions)),
            None => Err(invalid("dimensions", "it is not a whole number")),
        },
    }
}

fn images(input: Option<&Value>, limit: usize) -> Result<Vec<Bytes>, Problem> {
    let uris = match input {
        None | Some(Value::Null) => {
            return Err(Problem::NoImage {
                what: "data URI as input",
            });
        }
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(many)) if many.is_empty() => {
            return Err(Problem::NoImage {
                what: "data URI in input",
            });
        }
        Some(Value::Array(many)) if many.len() > limit => {
            return Err(Problem::TooManyImages { limit });
        }
        Some(Value::Array(many)) => many,
        Some(_) => {
            return Err(invalid(
                "input",
                "it is neither a data URI nor a list of them",
            ));
        }
    };
    uris.iter()
        .enumerate()
        .map(|(index, uri)| image(index, uri))
        .collect()
}

/// The bytes in `data:[<media type>];base64,…` (RFC 2397).
fn image(index: usize, uri: &Value) -> Result<Bytes, Problem> {
    let wrong = |detail: &str| invalid(&format!("input[{index}]"), detail);
    let text = uri.as_str().ok_or_else(|| wrong("it is not a string"))?;
    let expected = "it is no data URI: send an image as data:image/jpeg;base64,…";
    let (scheme, rest) = text.split_once(':').ok_or_else(|| wrong(expected))?;
    let (media_type, data) = rest.split_once(',').ok_or_else(|| wrong(expected))?;
    if !scheme.eq_ignore_ascii_case("data") {
        return Err(wrong(
            "addresses are not fetched: send the image itself as data:image/jpeg;base64,…",
        ));
    }
    if !media_type.to_ascii_lowercase().ends_with(";base64") {
        return Err(wrong(
            "its data is not marked as base64: send data:image/jpeg;base64,…",
        ));
    }
    let bytes = STANDARD
        .decode(data)
        .map_err(|error| wrong(&format!("its base64 is damaged ({error})")))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Embeddings, Problem> {
        read(body.as_bytes(), (None, None), 2)
    }

    #[test]
    fn one_image_and_several_are_read() {
        let one = parse(r#"{"input": "data:image/png;base64,AQI="}"#).unwrap();
        assert_eq!(one.images, [&b"\x01\x02"[..]]);
        let body = r#"{"model": "m", "input": ["data:;base64,AQ==", "DATA:image/jpeg;BASE64,Ag=="],
            "encoding_format": "base64", "normalize": true, "dimensions": 8, "user": "u"}"#;
        let two = parse(body).unwrap();
        assert_eq!(
            (two.images.len(), two.encoding, two.normalize),
            (2, Encoding::Base64, true)
        );
        assert_eq!((two.model.as_deref(), two.dimensions), (Some("m"), Some(8)));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (body, field) in [
            (r#"{"input": 5}"#, "input"),
            (r#"{"input": "hello"}"#, "input[0]"),
            (r#"{"input": "http://example.com/a,b"}"#, "input[0]"),
            (
                r#"{"input": ["data:;base64,AQ==", "data:image/png,raw"]}"#,
                "input[1]",
            ),
            (r#"{"input": "data:;base64,@@@"}"#, "input[0]"),
            (r#"{"input": "data:;base64,AQ==", "model": 1}"#, "model"),
            (
                r#"{"input": "data:;base64,AQ==", "normalize": "yes"}"#,
                "normalize",
            ),
            (
                r#"{"input": "data:;base64,AQ==", "encoding_format": "hex"}"#,
                "encoding_format",
            ),
            (
                r#"{"input": "data:;base64,AQ==", "dimensions": -1}"#,
                "dimensions",
            ),
            (r#"{"input": "data:;base64,AQ==", "user": {}}"#, "user"),
        ] {
            let found = parse(body).unwrap_err();
            assert!(
                matches!(&found, Problem::InvalidField { field: f, .. } if f == field),
                "{body}: {found:?}"
            );
        }
        assert!(matches!(
            parse(r#"{"inputs": 1}"#),
            Err(Problem::UnknownField { .. })
        ));
        assert!(matches!(parse("{}"), Err(Problem::NoImage { .. })));
        assert!(matches!(
            parse(r#"{"input": []}"#),
            Err(Problem::NoImage { .. })
        ));
        assert!(matches!(
            parse(r#"{"input": ["", "", ""]}"#),
            Err(Problem::TooManyImages { limit: 2 })
        ));
        assert!(matches!(parse("[1]"), Err(Problem::MalformedJson { .. })));
        assert!(matches!(parse("{"), Err(Problem::MalformedJson { .. })));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(body in ".{0,200}") {
            let _ = parse(&body);
            let _ = parse(&format!("{{\"input\": {body:?}}}"));
        }
    }
}
