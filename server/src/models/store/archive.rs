//! A tar archive of a model directory into a directory.
//!
//! What is written are the files that a model directory may have, each once, where they belong: no other name, no other
//! path, no link, no device. Headers are read as they stand, so an extension cannot say otherwise.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use detcon_core::model::file;
use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

/// Most headers of an archive: every file may have one of its own and one of extensions.
const MAX_HEADERS: usize = 256;
/// Longest header of extensions, in bytes.
const MAX_EXTENSION: u64 = 64 << 10;
/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Longest name that an error repeats.
const SHOWN: usize = 100;

/// Why an archive is not that of a model directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// It cannot be read as an archive.
    #[error("it cannot be read as a tar archive: {0}")]
    Unreadable(#[source] io::Error),
    /// It ends within a file.
    #[error("it breaks off in {name}: send all of it")]
    Truncated {
        /// The file.
        name: String,
    },
    /// It holds no file at all.
    #[error("it holds no file: send a tar archive of a model directory's files")]
    Empty,
    /// It has more entries than any model directory.
    #[error("it has more than {MAX_HEADERS} entries: a model directory has fewer")]
    TooMany,
    /// What is in it is larger than an upload may be.
    #[error("its files are longer than {limit} bytes together: --max-upload-bytes is the limit")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A name that no file of a model directory has.
    #[error(
        "it holds {name:?}, which is no file of a model directory: archive the files alone, without a folder, as \
         tar -C MODEL_DIR -cf - . does"
    )]
    Name {
        /// As it stands in the archive.
        name: String,
    },
    /// Something other than a file.
    #[error("{name:?} in it is no plain file but {kind}: archive plain files alone")]
    Kind {
        /// As it stands in the archive.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A file that is there twice.
    #[error("it holds {name} twice")]
    Twice {
        /// The file.
        name: String,
    },
    /// A file could not be written.
    #[error("{name} could not be written: {source}")]
    Write {
        /// The file.
        name: String,
        /// What the file system said.
        source: io::Error,
    },
}

/// Writes the files of `archive`, which may be compressed by gzip, into the directory `place`; all of them together
/// are at most `limit` bytes.
pub(super) fn unpack(mut archive: File, place: &Path, limit: u64) -> Result<(), ArchiveError> {
    let mut magic = Vec::with_capacity(GZIP.len());
    let start = Read::by_ref(&mut archive).take(GZIP.len() as u64);
    { start }
        .read_to_end(&mut magic)
        .map_err(ArchiveError::Unreadable)?;
    archive.rewind().map_err(ArchiveError::Unreadable)?;
    let archive = io::BufReader::new(archive);
    if magic == GZIP {
        unpack_plain(MultiGzDecoder::new(archive), place, limit)
    } else {
        unpack_plain(archive, place, limit)
    }
}

fn unpack_plain(archive: impl Read, place: &Path, limit: u64) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().map_err(ArchiveError::Unreadable)?;
    let (mut left, mut files) = (limit, 0);
    for (index, entry) in entries.raw(true).enumerate() {
        let mut entry = entry.map_err(ArchiveError::Unreadable)?;
        if index >= MAX_HEADERS {
            return Err(ArchiveError::TooMany);
        }
        let Some(name) = file_name(&entry)? else {
            continue;
        };
        let size = entry
            .header()
            .entry_size()
            .map_err(ArchiveError::Unreadable)?;
        left = left
            .checked_sub(size)
            .ok_or(ArchiveError::TooLarge { limit })?;
        write(&mut entry, &name, size, place)?;
        files += 1;
    }
    if files == 0 {
        return Err(ArchiveError::Empty);
    }
    Ok(())
}

/// The file that an entry is; none where there is nothing to write.
fn file_name(entry: &Entry<'_, impl Read>) -> Result<Option<String>, ArchiveError> {
    let bytes = entry.path_bytes();
    let shown = || {
        String::from_utf8_lossy(&bytes)
            .chars()
            .take(SHOWN)
            .collect()
    };
    let kind = |kind| {
        Err(ArchiveError::Kind {
            name: shown(),
            kind,
        })
    };
    match entry.header().entry_type() {
        EntryType::Regular if is_of_macos(&bytes) => return Ok(None),
        EntryType::Regular => {}
        // The folder itself, as `tar -C MODEL_DIR -cf - .` archives it, and that of the heads.
        EntryType::Directory if is_known_folder(&bytes) => return Ok(None),
        // Times and owners, as POSIX archives say them in a header of their own.
        EntryType::XHeader | EntryType::XGlobalHeader if entry.size() <= MAX_EXTENSION => {
            return Ok(None);
        }
        EntryType::Directory => return Err(ArchiveError::Name { name: shown() }),
        EntryType::Symlink => return kind("a symbolic link"),
        EntryType::Link => return kind("a hard link"),
        EntryType::GNUSparse => return kind("a sparse file"),
        _ => return kind("something else"),
    }
    let name = bytes.strip_prefix(b"./").unwrap_or(&bytes);
    let name = std::str::from_utf8(name).ok();
    let name = name.filter(|name| file::is_known(name));
    name.map(|name| Some(name.to_owned()))
        .ok_or_else(|| ArchiveError::Name { name: shown() })
}

/// Whether a file is what macOS puts beside others: their attributes (`._NAME`, `__MACOSX/…`), how a folder is shown.
fn is_of_macos(name: &[u8]) -> bool {
    let mut parts = name.rsplit(|&byte| byte == b'/');
    let last = parts.next().unwrap_or_default();
    last.starts_with(b"._") || last == b".DS_Store" || parts.any(|part| part == b"__MACOSX")
}

/// Whether a folder is the model's own, or that of its heads, however it is written.
fn is_known_folder(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let name = name.strip_prefix(b"./").unwrap_or(name);
    name == b"." || name == file::HEADS_FOLDER.as_bytes()
}

fn write(entry: &mut impl Read, name: &str, size: u64, place: &Path) -> Result<(), ArchiveError> {
    let unwritten = |source: io::Error| {
        let name = name.to_owned();
        match source.kind() {
            io::ErrorKind::AlreadyExists => ArchiveError::Twice { name },
            _ => ArchiveError::Write { name, source },
        }
    };
    let path = place.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(place)).map_err(unwritten)?;
    let mut file = File::create_new(path).map_err(unwritten)?;
    let mut left = size;
    let mut piece = vec![0; 1 << 18];
    while left > 0 {
        let count = entry.read(&mut piece).map_err(ArchiveError::Unreadable)?;
        if count == 0 {
            return Err(ArchiveError::Truncated {
                name: name.to_owned(),
            });
        }
        io::Write::write_all(&mut file, &piece[..count]).map_err(unwritten)?;
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    const LIMIT: u64 = 1 << 20;

    type Entries<'a> = &'a [(&'a str, EntryType, &'a [u8])];

    /// An archive with these names exactly as they are.
    fn tar(entries: Entries<'_>) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(archive: &[u8]) -> (Result<(), ArchiveError>, tempfile::TempDir) {
        let place = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        file.rewind().unwrap();
        (unpack(file, place.path(), LIMIT), place)
    }

    #[test]
    fn the_files_of_a_model_directory_are_written_plain_or_compressed() {
        let archive = tar(&[
            ("./", EntryType::Directory, b""),
            ("pax", EntryType::XHeader, b"18 mtime=1.500000\n"),
            ("./manifest.json", EntryType::Regular, b"{}"),
            ("model.onnx", EntryType::Regular, b"graph"),
            ("./heads/", EntryType::Directory, b""),
            ("./heads/a.safetensors", EntryType::Regular, b"head"),
            ("./._.", EntryType::Regular, b"attributes"),
            ("./heads/._a.safetensors", EntryType::Regular, b"attributes"),
            ("./.DS_Store", EntryType::Regular, b"view"),
            ("__MACOSX/manifest.json", EntryType::Regular, b"attributes"),
        ]);
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        compressed.write_all(&archive).unwrap();
        for archive in [&archive, &compressed.finish().unwrap()] {
            let (found, place) = unpacked(archive);
            found.unwrap();
            let read = |name| std::fs::read(place.path().join(name)).unwrap();
            assert_eq!(
                ["manifest.json", "model.onnx", "heads/a.safetensors"].map(read),
                [&b"{}"[..], b"graph", b"head"]
            );
        }
    }

    #[test]
    fn what_no_model_directory_holds_is_refused_by_name() {
        let plain = EntryType::Regular;
        for (name, kind) in [
            ("../model.onnx", plain),
            ("../../etc/passwd", plain),
            ("/etc/passwd", plain),
            ("resnet50/model.onnx", plain),
            ("././model.onnx", plain),
            ("model.onnx/", plain),
            ("README.md", plain),
            ("models/", EntryType::Directory),
            ("heads/../model.onnx", plain),
            ("heads/a/b.safetensors", plain),
            ("heads/.safetensors", plain),
            ("heads/a.json", plain),
            ("..", EntryType::Directory),
            ("model.onnx", EntryType::Symlink),
            ("model.onnx", EntryType::Link),
            ("model.onnx", EntryType::Fifo),
            ("model.onnx", EntryType::Char),
            ("model.onnx", EntryType::Block),
            ("model.onnx", EntryType::GNUSparse),
            ("model.onnx", EntryType::GNULongName),
        ] {
            let (found, place) = unpacked(&tar(&[(name, kind, b"content")]));
            let error = found.unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")), "{name}: {error}");
            assert_eq!(place.path().read_dir().unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn archives_that_are_damaged_or_too_much_are_refused() {
        let whole = tar(&[("model.onnx", EntryType::Regular, &[7; 2000])]);
        let long = vec![0; 1 + usize::try_from(LIMIT).unwrap()];
        let many: Vec<_> = (0..1_000_000)
            .map(|_| ("g", EntryType::XGlobalHeader, &b""[..]))
            .collect();
        let twice = ("model.onnx", EntryType::Regular, &b"x"[..]);
        for (archive, expected) in [
            (whole[..1500].to_vec(), "breaks off in model.onnx"),
            (whole[..100].to_vec(), "cannot be read"),
            (b"no archive".repeat(100), "cannot be read"),
            (GZIP.to_vec(), "cannot be read"),
            (Vec::new(), "no file"),
            (vec![0; 1024], "no file"),
            (
                tar(&[("model.onnx", EntryType::Regular, &long)]),
                "longer than",
            ),
            (tar(&many), "more than 256 entries"),
            (tar(&[twice, twice]), "model.onnx twice"),
        ] {
            let error = unpacked(&archive).0.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// A few bytes on the wire that would fill the disk.
    #[test]
    fn a_compressed_archive_is_bounded_by_what_it_holds() {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 8 << 20];
        compressed
            .write_all(&tar(&[("model.onnx", EntryType::Regular, &zeros)]))
            .unwrap();
        let (found, place) = unpacked(&compressed.finish().unwrap());
        assert!(
            matches!(found, Err(ArchiveError::TooLarge { .. })),
            "{found:?}"
        );
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
    }
}
