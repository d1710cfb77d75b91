use axum::http::HeaderValue;
use detcon_core::arch::Stage;
use serde_json::{Value, json};

use super::super::binary::JSON_LENGTH;
use super::*;

const OFFER: Offer<'static> = Offer {
    outputs: &[Output::Embedding, Output::Features(Stage::C5)],
    images: 4,
    normalization: Normalization::IMAGENET,
};

/// A request whose tensors follow its JSON.
fn asked(request: &Value, tensors: &[u8]) -> Result<Asked, Problem> {
    let json = request.to_string();
    let length = HeaderValue::from(json.len());
    let headers = HeaderMap::from_iter([(JSON_LENGTH, length)]);
    let body = [json.as_bytes(), tensors].concat();
    read(&headers, body.into(), OFFER)
}

fn one(input: &Value) -> Value {
    json!({"inputs": [input]})
}

/// The pixels of the only image of a request.
fn pixels(request: &Value, tensors: &[u8]) -> Vec<u8> {
    match asked(request, tensors).unwrap().images {
        Images::Tensors(mut images) if images.len() == 1 => images.remove(0).pixels,
        other => panic!("{other:?}"),
    }
}

/// Levels of a picture of 32 by 64 pixels, neighbours unlike.
fn picture() -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(7).take(32 * 64 * 3).collect()
}

fn normalized(level: u8, channel: usize) -> f32 {
    let mean = [0.485_f32, 0.456, 0.406][channel];
    let std = [0.229_f32, 0.224, 0.225][channel];
    (f32::from(level) / 255.0 - mean) / std
}

#[test]
fn files_come_as_bytes_as_base64_and_as_the_whole_body() {
    let binary = json!({"name": "image", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 13}});
    let in_json = json!({"name": "image", "shape": [2], "datatype": "BYTES", "data": ["QUI=", "data:image/png;base64,Q0RF"]});
    for (request, tensors) in [(binary, &b"\x02\0\0\0AB\x03\0\0\0CDE"[..]), (in_json, b"")] {
        let Images::Encoded(images) = asked(&one(&request), tensors).unwrap().images else {
            panic!("no files")
        };
        assert_eq!(images, [&b"AB"[..], b"CDE"]);
    }
    let headers = HeaderMap::from_iter([(JSON_LENGTH, HeaderValue::from(0))]);
    let raw = read(&headers, Bytes::from_static(b"AB"), OFFER).unwrap();
    assert!(matches!(raw.images, Images::Encoded(images) if images == [&b"AB"[..]]));
    assert_eq!(raw.outputs[0].form, Form::Binary);
}

#[test]
fn the_same_pixels_come_in_every_form_of_a_tensor() {
    let picture = picture();
    let last: Vec<f32> = (0..picture.len())
        .map(|at| normalized(picture[at], at % 3))
        .collect();
    let first: Vec<f32> = (0..3)
        .flat_map(|channel| last.iter().skip(channel).step_by(3).copied())
        .collect();
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let input = |name: &str, datatype: &str, shape: [usize; 4], size: usize| {
        one(
            &json!({"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}),
        )
    };
    let levels = input("pixels", "UINT8", [1, 32, 64, 3], picture.len());
    assert_eq!(pixels(&levels, &picture), picture);
    for (shape, values) in [([1, 32, 64, 3], &last), ([1, 3, 32, 64], &first)] {
        let request = input("normalized", "FP32", shape, 4 * values.len());
        assert_eq!(pixels(&request, &bytes(values)), picture, "{shape:?}");
        let request =
            json!({"name": "normalized", "datatype": "FP32", "shape": shape, "data": values});
        assert_eq!(pixels(&one(&request), b""), picture, "{shape:?}");
    }
    let rows: Vec<_> = picture.chunks(64 * 3).collect();
    let nested =
        json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 64, 3], "data": [rows]});
    assert_eq!(pixels(&one(&nested), b""), picture);
}

#[test]
fn outputs_are_those_that_are_asked_for_in_the_form_that_is_asked_for() {
    let image = json!([{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["QUI="]}]);
    let outputs =
        json!([{"name": "c5"}, {"name": "embedding", "parameters": {"binary_data": false}}]);
    let parameters = json!({"binary_data_output": true, "timeout": 2500, "priority": 1});
    let request = json!({"id": "7", "inputs": image, "outputs": outputs, "parameters": parameters});
    let asked = asked(&request, b"").unwrap();
    assert_eq!(
        (asked.id.as_deref(), asked.timeout, asked.lane),
        (
            Some("7"),
            Some(Duration::from_micros(2500)),
            Some(Lane::Interactive)
        )
    );
    let expected = [
        AskedOutput {
            output: Output::Features(Stage::C5),
            form: Form::Binary,
        },
        AskedOutput {
            output: Output::Embedding,
            form: Form::Number,
        },
    ];
    assert_eq!(asked.outputs, expected);
}

/// Holds that each input is refused with a word about what is wrong, and by the name of what is.
fn refused<const N: usize>(cases: [(Value, usize, &str, &str); N]) {
    for (input, tensors, field, told) in cases {
        let refused = asked(&one(&input), &vec![0; tensors]).unwrap_err();
        let Problem::InvalidField {
            field: found,
            detail,
        } = refused
        else {
            panic!("{input}: {refused}")
        };
        assert!(
            found == field && detail.contains(told),
            "{input}: {found}: {detail}"
        );
    }
}

#[test]
fn inputs_that_are_not_the_models_are_refused_by_name() {
    let image = |name: &str, shape: i64, datatype: &str, data: Value| json!({"name": name, "shape": [shape], "datatype": datatype, "data": data});
    let shared = json!({"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"shared_memory_region": "x"}});
    let mut twice = image("image", 1, "BYTES", json!(["QUI="]));
    twice["parameters"] = json!({"binary_data_size": 1});
    let none = json!([]);
    refused([
        (
            image("imgae", 1, "BYTES", none.clone()),
            0,
            "inputs",
            "image, pixels, normalized",
        ),
        (
            image("image", 1, "UINT8", none.clone()),
            0,
            "image",
            "BYTES",
        ),
        (
            image("image", 0, "BYTES", none.clone()),
            0,
            "image",
            "no images",
        ),
        (image("image", -1, "BYTES", none), 0, "request", "-1"),
        (
            image("image", 1, "BYTES", json!(["*"])),
            0,
            "image[0]",
            "base64",
        ),
        (
            image("image", 2, "BYTES", json!(["QUI="])),
            0,
            "image.data",
            "asks for 2",
        ),
        (twice, 1, "image", "give one"),
        (shared, 0, "request", "shared_memory_region"),
    ]);
    let image = image("image", 5, "BYTES", json!([]));
    let many = asked(&one(&image), b"").unwrap_err();
    assert_eq!(many, Problem::TooManyImages { limit: 4 });
}

#[test]
fn tensors_that_are_not_what_they_say_are_refused() {
    let shaped = |shape: [usize; 4]| json!({"name": "pixels", "shape": shape, "datatype": "UINT8", "data": []});
    let pixels = |data: Value| json!({"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": data});
    let sized = |size: usize| json!({"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "parameters": {"binary_data_size": size}});
    let normalized = |value: f64| json!({"name": "normalized", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": vec![value; 3072]});
    refused([
        (shaped([1, 3, 32, 32]), 0, "pixels", "[N, H, W, 3]"),
        (shaped([1, 31, 32, 3]), 0, "pixels", "32 to 1024"),
        (shaped([1, 32, 1025, 3]), 0, "pixels", "32 to 1024"),
        (shaped([0, 32, 32, 3]), 0, "pixels", "no images"),
        (pixels(Value::Null), 0, "pixels", "neither"),
        (pixels(json!([1, 2])), 0, "pixels.data", "3072"),
        (
            pixels(json!(vec![1; 3073])),
            0,
            "pixels.data",
            "more than the 3072",
        ),
        (pixels(json!(vec![256; 3072])), 0, "pixels", "256"),
        (pixels(json!(vec!["1"; 3072])), 0, "pixels.data", "type"),
        (sized(3072), 3071, "pixels.binary_data_size", "3071"),
        (sized(3071), 3071, "pixels", "3072"),
        (sized(3072), 3073, "binary_data_size", "1 bytes"),
        (sized(usize::MAX), 3072, "pixels.binary_data_size", "3072"),
        (normalized(0.5), 0, "normalized", "152.87 of 255"),
        (normalized(9.0), 0, "normalized", "8 bits"),
    ]);
}

#[test]
fn requests_of_another_shape_are_refused() {
    let image = json!({"name": "image", "shape": [1], "datatype": "BYTES", "data": ["QUI="]});
    for (request, told) in [
        (json!({"inputs": []}), "there are 0"),
        (json!({"inputs": [image, image]}), "there are 2"),
        (json!({"input": [image]}), "unknown field `input`"),
        (
            json!({"inputs": [image], "outputs": [{"name": "logits"}]}),
            "embedding, c5",
        ),
        (
            json!({"inputs": [image], "outputs": [{"name": "c5"}, {"name": "c5"}]}),
            "twice",
        ),
        (
            json!({"inputs": [image], "outputs": [{"name": "c5", "parameters": {"classification": 3}}]}),
            "classification",
        ),
        (
            json!({"inputs": [image], "parameters": {"sequence_id": 3}}),
            "sequence_id",
        ),
        (json!([]), "it is a list"),
    ] {
        let refused = asked(&request, b"").unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(refused.to_string().contains(told), "{request}: {refused}");
    }
    let broken = read(&HeaderMap::new(), Bytes::from_static(b"{\"inputs\""), OFFER);
    assert!(matches!(broken, Err(Problem::MalformedJson { .. })));
    let empty = read(&HeaderMap::new(), Bytes::new(), OFFER);
    assert_eq!(empty.unwrap_err(), Problem::EmptyBody);
}
