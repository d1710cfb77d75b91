//! OpenAI's embeddings request, with images as data URIs. Unknown fields and wrong types are errors that name them.

use std::borrow::Cow;
use std::fmt;

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, alphabet};
use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Problem;
use super::fields::{invalid, unknown};
use super::image_fetch::Fetcher;

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
    /// One image or several, each as a data URI, or as an address where the server fetches from there.
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

/// One data URI (`data:image/png;base64,…`) or the base64 alone, or a list of them; addresses (`https://…`) too, of origins that the server
/// was told to fetch from.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// As numbers.
    #[default]
    Float,
    /// As base64 of little-endian float32.
    Base64,
}

/// A request as it was sent: images are here, or still to be fetched.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) model: Option<String>,
    pub(super) images: Vec<Image>,
    pub(super) normalize: bool,
    pub(super) encoding: EncodingFormat,
    pub(super) dimensions: Option<usize>,
}

/// An image, or where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Image {
    Here(Bytes),
    At(Uri),
}

impl Image {
    /// Bytes that are here.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::At(_) => 0,
        }
    }
}

/// Reads the body; `query` holds the model and the wish for unit length that the query named.
pub(super) fn read(
    body: &[u8],
    query: (Option<String>, Option<bool>),
    limit: usize,
    fetcher: &Fetcher,
) -> Result<Parsed, Problem> {
    let object: Object<'_> =
        serde_json::from_slice(body).map_err(|error| Problem::MalformedJson {
            detail: error.to_string(),
        })?;
    object.check()?;
    object.text("user")?;
    let normalize = object.value("normalize", "it is neither true nor false")?;
    Ok(Parsed {
        model: once("model", query.0, object.text("model")?)?,
        normalize: once("normalize", query.1, normalize)?.unwrap_or(false),
        encoding: encoding(&object)?,
        dimensions: object.value("dimensions", "it is not a whole number")?,
        images: images(object.get("input"), limit, fetcher)?,
    })
}

/// A field from the query or from the body, but not from both.
fn once<T>(name: &str, query: Option<T>, body: Option<T>) -> Result<Option<T>, Problem> {
    match (query, body) {
        (Some(_), Some(_)) => Err(invalid(name, "it is given twice: give it once")),
        (query, body) => Ok(query.or(body)),
    }
}

fn encoding(object: &Object<'_>) -> Result<EncodingFormat, Problem> {
    match object.text("encoding_format")?.as_deref() {
        None | Some("float") => Ok(EncodingFormat::Float),
        Some("base64") => Ok(EncodingFormat::Base64),
        Some(_) => {
            let detail = "it is neither \"float\" nor \"base64\"";
            Err(invalid("encoding_format", detail))
        }
    }
}

/// An object's fields as they were sent, each value yet to be read: a field's text costs nothing until it is known
/// to be one of ours. No more are kept than there are fields, and one.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while fields.len() <= KNOWN.len() {
                    match map.next_entry()? {
                        Some(field) => fields.push(field),
                        None => return Ok(Object(fields)),
                    }
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'a> Object<'a> {
    /// Refuses fields that do not exist and fields that come twice.
    fn check(&self) -> Result<(), Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !KNOWN.contains(&name.as_str()) {
                return Err(unknown(name, KNOWN.join(", ")));
            }
            if self.0[..index].iter().any(|(other, _)| other == name) {
                return Err(invalid(name, "it is given twice: give it once"));
            }
        }
        Ok(())
    }

    /// A field's text; none where it is absent or null.
    fn get(&self, field: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(name, _)| name == field)?;
        Some(value.get()).filter(|text| *text != "null")
    }

    fn value<T: Deserialize<'a>>(&self, field: &str, wrong: &str) -> Result<Option<T>, Problem> {
        let text = self.get(field).map(serde_json::from_str).transpose();
        text.map_err(|_| invalid(field, wrong))
    }

    fn text(&self, field: &str) -> Result<Option<String>, Problem> {
        self.value(field, "it is not a string")
    }
}

/// The values of a list as they were sent. No more are kept than the limit allows.
struct List<'a> {
    values: Vec<&'a RawValue>,
    beyond_limit: bool,
}

/// Reads a [`List`] of at most this many values.
struct ListOf(usize);

impl<'de> Visitor<'de> for ListOf {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while values.len() < self.0 {
            match seq.next_element()? {
                Some(value) => values.push(value),
                None => {
                    return Ok(List {
                        values,
                        beyond_limit: false,
                    });
                }
            }
        }
        let beyond_limit = seq.next_element::<IgnoredAny>()?.is_some();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(List {
            values,
            beyond_limit,
        })
    }
}

fn images(input: Option<&str>, limit: usize, fetcher: &Fetcher) -> Result<Vec<Image>, Problem> {
    let missing = Problem::NoImage {
        what: "data URI as input",
    };
    let text = input.ok_or(missing.clone())?;
    let wrong = || invalid("input", "it is neither a data URI nor a list of them");
    match text.as_bytes().first() {
        Some(b'"') => Ok(vec![image(0, text, fetcher)?]),
        Some(b'[') => {
            let mut json = serde_json::Deserializer::from_str(text);
            let list = json.deserialize_seq(ListOf(limit)).map_err(|_| wrong())?;
            if list.beyond_limit {
                return Err(Problem::TooManyImages { limit });
            }
            if list.values.is_empty() {
                return Err(missing);
            }
            let values = list.values.iter().enumerate();
            values
                .map(|(index, value)| image(index, value.get(), fetcher))
                .collect()
        }
        _ => Err(wrong()),
    }
}

/// A string that borrows what it was read from, where that holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The bytes in `data:[<media type>];base64,…` (RFC 2397) or in base64 alone, or an address that may be fetched from.
fn image(index: usize, json: &str, fetcher: &Fetcher) -> Result<Image, Problem> {
    let wrong = |detail: &str| invalid(&format!("input[{index}]"), detail);
    let Text(text) = serde_json::from_str(json).map_err(|_| wrong("it is not a string"))?;
    let expected = "it is no data URI: send an image as data:image/jpeg;base64,…";
    let Some((scheme, rest)) = text.split_once(':') else {
        let bare = decoded(&text).map_err(|_| wrong(expected))?;
        return Ok(Image::Here(bare.into()));
    };
    if !scheme.eq_ignore_ascii_case("data") {
        return fetcher.address(&text).map(Image::At).map_err(wrong);
    }
    let (media_type, data) = rest.split_once(',').ok_or_else(|| wrong(expected))?;
    if !media_type.to_ascii_lowercase().ends_with(";base64") {
        return Err(wrong(
            "its data is not marked as base64: send data:image/jpeg;base64,…",
        ));
    }
    let bytes =
        decoded(data).map_err(|error| wrong(&format!("its base64 is damaged ({error})")))?;
    Ok(Image::Here(bytes.into()))
}

/// The bytes of base64 as any encoder writes it (RFC 4648): with line breaks, with the letters for addresses, without
/// padding. Spaces are none of it: a text is not taken for an image.
fn decoded(text: &str) -> Result<Vec<u8>, DecodeError> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
    if !text
        .bytes()
        .any(|byte| matches!(byte, b'\r' | b'\n' | b'-' | b'_'))
    {
        return ENGINE.decode(text);
    }
    let letters = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    let letters = letters.map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    });
    ENGINE.decode(letters.collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests;
