//! Requests in OpenAI's shape: what is read, and which field is at fault where something is not.

use base64::Engine as _;
use proptest::prelude::*;

use super::*;

fn parse(body: &str) -> Result<Parsed, Problem> {
    read(body.as_bytes(), (None, None), 2, &Fetcher::default())
}

fn here(bytes: &'static [u8]) -> Image {
    Image::Here(Bytes::from_static(bytes))
}

#[test]
fn an_address_is_kept_where_its_origin_is_allowed() {
    let origins = vec!["https://images.example.org".parse().unwrap()];
    let fetcher = Fetcher::new(origins, false);
    let read = |address: &str| {
        let body = format!("{{\"input\": [\"{address}\"]}}");
        read(body.as_bytes(), (None, None), 2, &fetcher)
    };
    let address = "https://images.example.org/a.jpg";
    let expected = Image::At(address.parse().unwrap());
    assert_eq!(read(address).unwrap().images, [expected]);
    for refused in [
        "https://example.org/a.jpg",
        "http://images.example.org/a.jpg",
        "file:///etc/passwd",
    ] {
        let found = read(refused).unwrap_err();
        assert!(
            matches!(&found, Problem::InvalidField { field, .. } if field == "input[0]"),
            "{found:?}"
        );
    }
}

#[test]
fn one_image_and_several_are_read() {
    let one = parse(r#"{"input": "data:image/png;base64,AQI="}"#).unwrap();
    assert_eq!(one.images, [here(b"\x01\x02")]);
    let bare = parse(r#"{"input": "AQI="}"#).unwrap();
    assert_eq!(bare.images, one.images);
    let body = r#"{"model": "m", "input": ["data:;base64,AQ==", "DATA:image/jpeg;BASE64,Ag=="],
        "encoding_format": "base64", "normalize": true, "dimensions": 8, "user": "u"}"#;
    let two = parse(body).unwrap();
    assert_eq!(
        (two.images.len(), two.encoding, two.normalize),
        (2, EncodingFormat::Base64, true)
    );
    assert_eq!((two.model.as_deref(), two.dimensions), (Some("m"), Some(8)));
}

#[test]
fn base64_is_read_as_any_encoder_writes_it() {
    let bytes: Vec<u8> = (0..=255).collect();
    let usual = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let lines: Vec<_> = usual.as_bytes().chunks(76).collect();
    let url_safe = usual.replace('+', "-").replace('/', "_");
    for text in [
        usual.clone(),
        lines
            .join(&b"\\n"[..])
            .iter()
            .map(|&byte| char::from(byte))
            .collect(),
        lines
            .join(&b"\\r\\n"[..])
            .iter()
            .map(|&byte| char::from(byte))
            .collect(),
        usual.trim_end_matches('=').to_owned(),
        url_safe.trim_end_matches('=').to_owned(),
        url_safe,
    ] {
        for prefix in ["", "data:image/png;base64,"] {
            let body = format!(r#"{{"input": "{prefix}{text}"}}"#);
            let expected = Image::Here(bytes.clone().into());
            assert_eq!(parse(&body).unwrap().images, [expected], "{body}");
        }
    }
}

#[test]
fn the_field_at_fault_is_named() {
    for (body, field) in [
        (r#"{"input": 5}"#, "input"),
        (r#"{"input": "hello"}"#, "input[0]"),
        (r#"{"input": "a cat"}"#, "input[0]"),
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
    assert!(matches!(
        parse(r#"{"model": "m", "model": "m"}"#),
        Err(Problem::InvalidField { field, .. }) if field == "model"
    ));
    assert!(matches!(parse("[1]"), Err(Problem::MalformedJson { .. })));
    assert!(matches!(parse("{"), Err(Problem::MalformedJson { .. })));
}

#[test]
fn what_is_beyond_the_limits_is_counted_and_not_kept() {
    let list = format!(r#"{{"input": [{}0]}}"#, "0,".repeat(100_000));
    assert_eq!(
        parse(&list).unwrap_err(),
        Problem::TooManyImages { limit: 2 }
    );
    let fields = format!(r#"{{{}"x": 0}}"#, r#""x": 0,"#.repeat(100_000));
    let Object(kept) = serde_json::from_str(&fields).unwrap();
    assert_eq!(kept.len(), KNOWN.len() + 1);
    assert!(matches!(parse(&fields), Err(Problem::UnknownField { .. })));
}

#[test]
fn escapes_and_spaces_mean_what_they_mean_in_json() {
    let one = parse(" { \"input\" : \"data:\\u003bbase64,AQI\\u003d\" , \"model\" : null } ");
    assert_eq!(one.unwrap().images, [here(b"\x01\x02")]);
}

proptest! {
    #[test]
    fn no_text_breaks_it(body in ".{0,200}") {
        let _ = parse(&body);
        let _ = parse(&format!("{{\"input\": {body:?}}}"));
    }
}
