//! Kinds of files by their first bytes.

use std::fmt;

use crate::msgpack;
use crate::npy;
use crate::torch::LEGACY_START;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// NumPy's format for one array.
    Npy,
    /// A plain pickle.
    Pickle,
    /// Nothing at all.
    Empty,
    /// NumPy's archive of arrays.
    Npz,
    /// PyTorch's archive.
    PyTorch,
    /// What PyTorch wrote before it had an archive.
    LegacyPyTorch,
    /// Another zip archive.
    Zip,
    /// Something compressed.
    Gzip,
    /// safetensors.
    Safetensors,
    /// flax's msgpack.
    Msgpack,
    /// HDF5, as Keras writes.
    Hdf5,
    /// The note that Git keeps in place of a large file.
    GitLfsPointer,
    /// A web page.
    Html,
    /// None of these.
    Unknown,
}

/// First bytes that tell a kind.
const MAGIC: &[(&[u8], FileKind)] = &[
    (npy::MAGIC, FileKind::Npy),
    (LEGACY_START, FileKind::LegacyPyTorch),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"version https://git-lfs", FileKind::GitLfsPointer),
    (b"<!DOCTYPE", FileKind::Html),
    (b"<!doctype", FileKind::Html),
    (b"<html", FileKind::Html),
    (b"<?xml", FileKind::Html),
];

impl FileKind {
    /// The kind of the file with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if let Some(&(_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return kind;
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return archive(bytes);
        }
        if is_safetensors(bytes) {
            return Self::Safetensors;
        }
        if is_pickle(bytes) {
            Self::Pickle
        } else if msgpack::is_msgpack(bytes) {
            Self::Msgpack
        } else {
            Self::Unknown
        }
    }

    /// What to do with such a file, as the end of a sentence.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Npy
            | Self::Pickle
            | Self::PyTorch
            | Self::LegacyPyTorch
            | Self::Safetensors
            | Self::Npz
            | Self::Msgpack => "give it to import as it is",
            Self::Empty | Self::GitLfsPointer | Self::Html => "fetch the checkpoint again",
            Self::Gzip => "decompress it first",
            Self::Hdf5 => {
                "its networks are not read; in Python, h5py reads the arrays, and numpy.savez(NEW, **arrays) saves them \
                 under torchvision's names (kernels [outputs, inputs, height, width])"
            }
            Self::Zip | Self::Unknown => {
                "a checkpoint is a .npy or .npz file, a pickle, a PyTorch archive, safetensors or flax's msgpack"
            }
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Npy => "a NumPy array file",
            Self::Pickle => "a pickle",
            Self::Empty => "an empty file",
            Self::Npz => "a NumPy archive (.npz)",
            Self::PyTorch => "a PyTorch archive",
            Self::LegacyPyTorch => "a PyTorch file of before 1.6",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip file",
            Self::Safetensors => "a safetensors file",
            Self::Msgpack => "msgpack, as flax writes",
            Self::Hdf5 => "an HDF5 file",
            Self::GitLfsPointer => "a Git LFS pointer in place of the file",
            Self::Html => "a web page",
            Self::Unknown => "a file of unknown kind",
        })
    }
}

/// A zip archive's kind by the name of its first member, which its local header holds from byte 30 on.
fn archive(bytes: &[u8]) -> FileKind {
    let length = match bytes.get(26..28) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let name = bytes
        .get(30..)
        .and_then(|rest| rest.get(..length))
        .unwrap_or_default();
    if name.ends_with(b".npy") {
        FileKind::Npz
    } else if name.ends_with(b"/data.pkl")
        || name.ends_with(b"/.format_version")
        || name.ends_with(b"/byteorder")
    {
        FileKind::PyTorch
    } else {
        FileKind::Zip
    }
}

/// The length of a JSON header, then the header.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    rest.starts_with(b"{\"") && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// From protocol 2 on a pickle starts by naming its protocol; one that does not exist yet is still a pickle.
/// Protocols 0 and 1 have no magic: such a pickle starts with the opcode of a container or a global and ends
/// with the opcode that stops.
fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=15, ..])
        || matches!(bytes.first(), Some(b'(' | b']' | b'}' | b')' | b'c'))
            && bytes.last() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_bytes() {
        let safetensors = [&2_u64.to_le_bytes()[..], b"{\"\""].concat();
        let zip = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(26, 0);
            bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.as_bytes());
            bytes
        };
        for (bytes, kind) in [
            (b"\x93NUMPY\x01\x00".to_vec(), FileKind::Npy),
            (b"\x80\x03}q\x00.".to_vec(), FileKind::Pickle),
            (b"(dp0\n.".to_vec(), FileKind::Pickle),
            (Vec::new(), FileKind::Empty),
            (zip("conv.npy"), FileKind::Npz),
            (zip("archive/data.pkl"), FileKind::PyTorch),
            (LEGACY_START.to_vec(), FileKind::LegacyPyTorch),
            (zip("photos.txt"), FileKind::Zip),
            (b"PK\x05\x06".to_vec(), FileKind::Zip),
            (b"\x1f\x8b\x08".to_vec(), FileKind::Gzip),
            (safetensors, FileKind::Safetensors),
            (b"\x89HDF\r\n\x1a\n".to_vec(), FileKind::Hdf5),
            (
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                FileKind::GitLfsPointer,
            ),
            (b"<!DOCTYPE html>".to_vec(), FileKind::Html),
            (b"\x80\x06.".to_vec(), FileKind::Pickle),
            (b"hello".to_vec(), FileKind::Unknown),
        ] {
            assert_eq!(FileKind::of(&bytes), kind, "{bytes:?}");
        }
    }
}
