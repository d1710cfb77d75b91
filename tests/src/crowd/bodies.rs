//! What a crowd sends: images of many sizes and formats to every route that takes one, and what is meant to hurt.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

/// Sides of the images.
const SIDES: std::ops::RangeInclusive<u32> = 1..=700;
/// Images of each format.
const IMAGES: usize = 8;
const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];
/// Where images are sent; more of them to the first.
const EMBEDDINGS: &str = "/v1/embeddings";
/// Where else, each with what every image may be asked.
const OTHERS: [&str; 3] = [
    "/v1/features?stage=c4",
    "/v1/regions?method=grid&rows=1&columns=1",
    "/v1/segmentations?min_size=50",
];
/// Routes that a crowd asks, as metrics name them.
pub const ROUTES: [&str; 4] = [
    "/v1/embeddings",
    "/v1/features",
    "/v1/regions",
    "/v1/segmentations",
];
/// A map that a client takes nothing of: larger than what lies on its way.
pub(super) const MAP: &str = "/v1/features?stage=c2";
/// Longest answer of the crowd's server, in bytes: more than images get, less than `GREEDY` asks for.
pub(super) const MAX_ANSWER: u32 = 1 << 20;
/// A map of 1024 pixels: four bytes for each of 256 x 256 cells and channel.
const GREEDY: &str = "/v1/features?stage=c2&size=1024";
/// What is asked of thin images, which then become large.
const WHOLE: [&str; 4] = [
    "/v1/features?stage=c2&view=full&size=1024",
    "/v1/features?view=full&size=1024",
    "/v1/regions?method=kmeans&view=full&size=1024",
    "/v1/segmentations?method=kmeans&stage=c3&size=1024",
];

/// Something to send.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) what: String,
    pub(super) hostile: bool,
    /// Path and query.
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Noise on slopes, in every format.
pub(super) fn images(random: &mut fastrand::Rng) -> Vec<Body> {
    let mut bodies = Vec::new();
    for format in FORMATS {
        for _ in 0..IMAGES {
            let (width, height) = (random.u32(SIDES), random.u32(SIDES));
            bodies.push(Body {
                what: format!("{format:?} of {width}x{height}"),
                hostile: false,
                path: EMBEDDINGS,
                content_type: "application/octet-stream",
                bytes: image(random, width, height, format),
            });
        }
    }
    let elsewhere = bodies.clone().into_iter().zip(OTHERS.iter().cycle());
    let elsewhere = elsewhere.map(|(body, path)| Body { path, ..body });
    let elsewhere: Vec<_> = elsewhere.collect();
    bodies.extend(elsewhere);
    bodies
}

fn image(random: &mut fastrand::Rng, width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let noise = random.u32(0..32);
        let value = |it| u8::try_from((it / 4 + noise) % 256).expect("below 256");
        image::Rgb([x, y, x + y].map(value))
    });
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), format)
        .expect("an image can be written to memory");
    bytes
}

/// Thin images that a view makes large, and answers that are longer than there may be.
pub(super) fn costly(random: &mut fastrand::Rng) -> Vec<Body> {
    let mut bodies = Vec::new();
    for path in WHOLE {
        let (long, short) = (random.u32(40..700), random.u32(1..9));
        for (width, height) in [(long, short), (short, long), (16, 1)] {
            bodies.push(Body {
                what: format!("a thin PNG of {width}x{height} to {path}"),
                hostile: true,
                path,
                content_type: "image/png",
                bytes: image(random, width, height, ImageFormat::Png),
            });
        }
    }
    bodies.push(Body {
        what: "an image with a wish for a long answer".to_owned(),
        hostile: true,
        path: GREEDY,
        content_type: "image/png",
        bytes: image(random, 300, 200, ImageFormat::Png),
    });
    bodies
}

/// Truncated, bombs, of wrong types.
pub(super) fn hostile(images: &[Body]) -> Vec<Body> {
    let make = |what: &str, content_type, bytes| Body {
        what: what.to_owned(),
        hostile: true,
        path: EMBEDDINGS,
        content_type,
        bytes,
    };
    let mut bodies: Vec<_> = (images.iter().step_by(IMAGES))
        .map(|image| {
            let half = image.bytes[..image.bytes.len() / 2].to_vec();
            let what = format!("half of a {}", image.what);
            let body = make(&what, "application/octet-stream", half);
            Body {
                path: image.path,
                ..body
            }
        })
        .collect();
    let mut bomb =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    bomb.extend([0x9c, 0x4c, 0xee, 0xf8]);
    bodies.push(make("a PNG of 30000x30000", "image/png", bomb));
    bodies.push(make(
        "a text",
        "text/plain",
        b"a photograph, really".to_vec(),
    ));
    bodies.push(make(
        "a text as JPEG",
        "image/jpeg",
        b"a photograph, really".to_vec(),
    ));
    bodies.push(make("nothing", "image/png", Vec::new()));
    bodies.push(make(
        "broken JSON",
        "application/json",
        b"{\"input\": [".to_vec(),
    ));
    bodies.push(make(
        "JSON with an address",
        "application/json",
        b"{\"input\": \"http://127.0.0.1/\"}".to_vec(),
    ));
    bodies.push(make(
        "parts without a boundary",
        "multipart/form-data",
        b"--x\r\n".to_vec(),
    ));
    bodies.push(make("a type that is none", "?", b"?".to_vec()));
    bodies
}
