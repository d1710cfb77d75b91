//! What a public bucket holds, by the JSON interface of Google Cloud Storage, page by page.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::client::Client;
use super::{FetchError, Patience};

/// Longest page that is read.
const MAX_PAGE: u64 = 16 << 20;
/// Most pages that are read.
const MAX_PAGES: usize = 1000;

/// An object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name in the bucket.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last changed, RFC 3339.
    pub updated: String,
    /// Its address.
    pub address: String,
}

/// A page of the listing. It holds many fields more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    /// A number in quotes.
    size: String,
    #[serde(default)]
    updated: String,
}

/// The objects of `bucket`, by name. `endpoint` is where Cloud Storage answers, without a slash at the end.
pub fn list(endpoint: &str, bucket: &str) -> Result<Vec<Listed>, FetchError> {
    let mut objects = Vec::new();
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let uri = page_uri(endpoint, bucket, token.as_deref());
        let client = Client::new(&uri, Patience::default());
        let text = client.text(MAX_PAGE)?;
        let page: Page = serde_json::from_str(&text)
            .map_err(|error| client.unusable(format!("it is no listing: {error}")))?;
        for Item {
            name,
            size,
            updated,
        } in page.items
        {
            let bytes = size
                .parse()
                .map_err(|_| client.unusable(format!("{name} has the size {size:?}")))?;
            let address = format!("{endpoint}/{bucket}/{}", escaped(&name, "/"));
            objects.push(Listed {
                name,
                bytes,
                updated,
                address,
            });
        }
        token = page.next_page_token;
        if token.is_none() {
            break;
        }
    }
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(objects)
}

fn page_uri(endpoint: &str, bucket: &str, token: Option<&str>) -> Uri {
    let mut text = format!(
        "{endpoint}/storage/v1/b/{}/o?fields=items(name,size,updated),nextPageToken",
        escaped(bucket, "")
    );
    if let Some(token) = token {
        text.push_str("&pageToken=");
        text.push_str(&escaped(token, ""));
    }
    text.parse().unwrap_or_default()
}

/// Percent-encodes what may not stand in an address, but for `kept`.
fn escaped(text: &str, kept: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || kept.as_bytes().contains(&byte)
        {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a String cannot fail");
        }
        escaped
    })
}
