//! The playground at `/`: one page that shows in a browser what the API gives. It is part of the program, loads nothing
//! from elsewhere, and asks the API as any client does; so it is open, and its calls need keys where all do.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use detcon_core::digest::sha256;

use super::conditional::is_unchanged;
use crate::http::Problem;
use crate::protect::{PLAYGROUND, Playground};

/// What the page may load: what this server sends, and pictures that it makes itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// A copy may be kept, and is asked about before it is used: a new program has a new page.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JPEG: &str = "image/jpeg";

/// A file of the page.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! page {
    ($media_type:expr, $name:literal) => {
        Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("playground/page/", $name)),
        }
    };
}

macro_rules! photograph {
    ($name:literal) => {
        Asset {
            name: $name,
            media_type: JPEG,
            bytes: include_bytes!(concat!("../../../tests/golden/images/", $name)),
        }
    };
}

/// The page itself.
static INDEX: Asset = page!(HTML, "index.html");
/// What it loads. The photographs are in the public domain or CC0; `tests/golden/README.md` has their origins.
static ASSETS: [Asset; 26] = [
    page!(CSS, "style.css"),
    page!(SVG, "icon.svg"),
    page!(SCRIPT, "analysis.js"),
    page!(SCRIPT, "answers.js"),
    page!(SCRIPT, "api.js"),
    page!(SCRIPT, "colours.js"),
    page!(SCRIPT, "figure.js"),
    page!(SCRIPT, "findings.js"),
    page!(SCRIPT, "layers.js"),
    page!(SCRIPT, "main.js"),
    page!(SCRIPT, "paint.js"),
    page!(SCRIPT, "photo.js"),
    page!(SCRIPT, "receive.js"),
    page!(SCRIPT, "requests.js"),
    page!(SCRIPT, "settings.js"),
    page!(SCRIPT, "snippets.js"),
    page!(SCRIPT, "tensors.js"),
    page!(SCRIPT, "timing.js"),
    page!(SCRIPT, "vectors.js"),
    page!(SCRIPT, "view.js"),
    page!(SCRIPT, "widgets.js"),
    page!(SCRIPT, "words.js"),
    photograph!("astronaut.jpg"),
    photograph!("chelsea.jpg"),
    photograph!("coffee.jpg"),
    photograph!("rocket.jpg"),
];

/// The page's routes, if there is one.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(playground: Playground) -> Router<S> {
    match playground {
        Playground::Hidden => Router::new(),
        Playground::Served => Router::new()
            .route(
                "/",
                get(async |headers: HeaderMap| answer(&INDEX, &headers)),
            )
            .route(PLAYGROUND, get(file)),
    }
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Problem::NotFound {
        path: format!("/playground/{}", name.chars().take(200).collect::<String>()),
    })?;
    Ok(answer(asset, &headers))
}

/// The file, or that the client has it already.
fn answer(asset: &Asset, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", sha256(asset.bytes));
    let mut answer = if is_unchanged(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(
        header::ETAG,
        HeaderValue::try_from(tag).expect("hexadecimal digits in quotes"),
    );
    answer
}

#[cfg(test)]
mod tests;
