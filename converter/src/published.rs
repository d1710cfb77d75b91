//! The published checkpoints and their short names.

/// The bucket that holds them.
pub const BUCKET: &str = "dm-detcon";
/// Where public buckets are read without credentials.
pub const ENDPOINT: &str = "https://storage.googleapis.com";

/// Short name, and name in the bucket.
const PUBLISHED: [(&str, &str); 2] = [
    ("resnet50-imagenet", "resnet50_detcon_b_imagenet_1k.npy"),
    ("resnet200-imagenet", "resnet200_detcon_b_imagenet_1k.npy"),
];

/// The address of the checkpoint with a short name.
#[must_use]
pub fn address(short: &str) -> Option<String> {
    let row = PUBLISHED.iter().find(|row| row.0 == short)?;
    Some(format!("{ENDPOINT}/{BUCKET}/{}", row.1))
}

/// The short name of an object of the bucket.
#[must_use]
pub fn short_name(object: &str) -> Option<&'static str> {
    PUBLISHED
        .iter()
        .find(|row| row.1 == object)
        .map(|row| row.0)
}

/// Every short name, as users write it.
pub(crate) fn short_names() -> String {
    PUBLISHED
        .map(|row| format!("{SCHEME}:{}", row.0))
        .join(", ")
}

/// What stands before a short name.
pub const SCHEME: &str = "detcon";
