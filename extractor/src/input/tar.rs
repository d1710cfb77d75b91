//! Images in tar shards as WebDataset has them: members that follow each other and share a key belong together. The key
//! is a member's path up to the first dot of its name, the rest says what it is, in any case (`base_plus_ext` and
//! `group_by_keys` of WebDataset's `tariterators.py`).

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use detcon_core::image::ImageLimits;
use detcon_data::image_name::is_image_ending;

use super::sample::{below, one};
use super::{Found, Given, Image, Item, Items, Unusable};
use crate::place::{Place, PlaceError, Watched};

/// Longest text that comes with an image, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;
/// Members that hold a label map.
const MASKS: [&str; 2] = ["mask.png", "seg.png"];
/// The class.
const CLASS: &str = "cls";
/// Texts.
const JSON: &str = "json";

/// The images of a shard. Members of other kinds are passed over.
pub(super) fn items(place: &Place, folder: &str, name: &str) -> Result<Items, PlaceError> {
    let (stream, failure) = Watched::open(place, name)?;
    let shard: Arc<str> = below(folder, name).into();
    let (send, receive) = std::sync::mpsc::sync_channel(AHEAD);
    // The reader of archives borrows its members from itself, so it has a thread of its own.
    let reader = std::thread::Builder::new().name("tar".to_owned());
    let started = reader.spawn(move || {
        let mut group = Group::default();
        let read = read(stream, &shard, &mut group, |item| {
            send.send(Ok(item)).is_ok()
        });
        let last = match (read, failure.take()) {
            (_, Some(failure)) => [None, Some(Err(failure))],
            (Ok(()), None) => [group.finish(&shard).map(Ok), None],
            (Err(error), None) => [None, Some(Ok(Err(damaged(&shard, &error))))],
        };
        for item in last.into_iter().flatten() {
            let _ = send.send(item); // whoever asked may have gone
        }
    });
    match started {
        Ok(_) => Ok(Box::new(receive.into_iter())),
        Err(error) => Ok(one(Err(PlaceError::Io {
            address: place.address(name),
            source: error,
        }))),
    }
}

/// Images that are read before they are asked for.
const AHEAD: usize = 4;

fn damaged(shard: &str, error: &io::Error) -> Unusable {
    Unusable {
        id: None,
        path: shard.to_owned(),
        reason: format!("The archive is damaged here, and what follows is left out: {error}."),
    }
}

/// Reads members until the archive ends or nobody asks any more.
fn read(
    stream: impl Read,
    shard: &str,
    group: &mut Group,
    mut give: impl FnMut(Item) -> bool,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(stream);
    for member in archive.entries()? {
        let member = member?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let Some((key, kind)) = split(&path) else {
            continue;
        };
        if group.key.as_deref() != Some(key) {
            let before = std::mem::replace(group, Group::of(key));
            if let Some(item) = before.finish(shard)
                && !give(item)
            {
                return Ok(());
            }
        }
        group.add(kind, &path, member)?;
    }
    Ok(())
}

/// A member's key, and what it is.
fn split(path: &str) -> Option<(&str, &str)> {
    let start = path.rfind('/').map_or(0, |end| end + 1);
    let name = &path[start..];
    let dot = name.find('.').filter(|&dot| dot > 0)?;
    // Members of WebDataset's own, and what is in a folder of such a name.
    let first = path.split('/').next().unwrap_or_default();
    if first.starts_with("__") && first.ends_with("__") {
        return None;
    }
    Some((&path[..start + dot], &name[dot + 1..]))
}

/// Members that share a key.
#[derive(Debug, Default)]
struct Group {
    key: Option<String>,
    image: Option<(String, Bytes)>,
    label: Option<String>,
    json: Option<String>,
    mask: Option<Bytes>,
    wrong: Option<String>,
}

impl Group {
    fn of(key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..Self::default()
        }
    }

    fn add(&mut self, kind: &str, path: &str, member: tar::Entry<'_, impl Read>) -> io::Result<()> {
        let kind = kind.to_ascii_lowercase();
        let longest = ImageLimits::default().bytes as u64;
        if is_image_ending(&kind) {
            if let Some((other, _)) = &self.image {
                self.wrong = Some(format!("It has two images, {other} and {path}."));
                return Ok(());
            }
            self.image = Some((path.to_owned(), bytes(member, longest)?));
        } else if MASKS.contains(&kind.as_str()) {
            self.mask = Some(bytes(member, longest)?);
        } else if kind == CLASS {
            self.label = Some(text(member)?);
        } else if kind == JSON {
            self.json = Some(text(member)?);
        }
        Ok(())
    }

    /// The image of the group, if it has one.
    fn finish(self, shard: &str) -> Option<Item> {
        let (path, image) = self.image?;
        let path = format!("{shard}/{path}");
        if let Some(reason) = self.wrong {
            return Some(Err(Unusable {
                id: self.key,
                path,
                reason,
            }));
        }
        Some(Ok(Found {
            id: self.key?,
            path,
            label: self.label,
            json: self.json,
            image: Image::Here(image),
            mask: self.mask.map(Given::Png),
        }))
    }
}

/// All of a member, or one byte more than the limit.
fn bytes(member: tar::Entry<'_, impl Read>, limit: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let expected = member.size().min(limit + 1);
    member.take(expected).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == expected {
        return Ok(bytes.into());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn text(member: tar::Entry<'_, impl Read>) -> io::Result<String> {
    let bytes = bytes(member, LONGEST_TEXT)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
