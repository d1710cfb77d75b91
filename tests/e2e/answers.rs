//! The three forms of an answer, read as a client reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use safetensors::SafeTensors;

/// Media types of the answers to embeddings requests.
pub(crate) const REPRESENTATIONS: [&str; 3] = [
    "application/json",
    "application/x-npy",
    "application/safetensors",
];

/// The vectors of an answer, whichever form it has. Panics with the problem where it is none.
pub(crate) async fn vectors(response: Response) -> Vec<Vec<f32>> {
    let status = response.status();
    let kind = response.headers()[CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    let body = response.bytes().await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    match kind.as_str() {
        "application/json" => json(&body),
        "application/x-npy" => npy(&body),
        "application/safetensors" => {
            let file = SafeTensors::deserialize(&body).unwrap();
            let tensor = file.tensor("embeddings").unwrap();
            rows(tensor.data(), tensor.shape())
        }
        other => panic!("an answer of type {other}"),
    }
}

/// OpenAI's list; vectors as numbers or as base64.
fn json(body: &[u8]) -> Vec<Vec<f32>> {
    let list: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(list["object"], "list");
    assert_eq!(
        list["usage"],
        serde_json::json!({"prompt_tokens": 0, "total_tokens": 0})
    );
    let items = list["data"].as_array().unwrap();
    let vector = |(index, item): (usize, &serde_json::Value)| {
        assert_eq!(
            (&item["object"], &item["index"]),
            (&"embedding".into(), &index.into())
        );
        match &item["embedding"] {
            serde_json::Value::String(text) => floats(&STANDARD.decode(text).unwrap()),
            values => serde_json::from_value(values.clone()).unwrap(),
        }
    };
    items.iter().enumerate().map(vector).collect()
}

/// NumPy's array file, version 1.0.
fn npy(body: &[u8]) -> Vec<Vec<f32>> {
    assert_eq!(&body[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([body[8], body[9]]));
    let header = std::str::from_utf8(&body[10..10 + length]).unwrap();
    let shape = header
        .strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")
        .unwrap();
    let shape: Vec<usize> = shape
        .split_once(')')
        .unwrap()
        .0
        .split(", ")
        .map(|n| n.parse().unwrap())
        .collect();
    rows(&body[10 + length..], &shape)
}

fn rows(bytes: &[u8], shape: &[usize]) -> Vec<Vec<f32>> {
    let &[n, d] = shape else {
        panic!("shape {shape:?}")
    };
    assert_eq!(bytes.len(), n * d * size_of::<f32>());
    bytes.chunks(d * size_of::<f32>()).map(floats).collect()
}

/// Little-endian float32.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    values
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}
