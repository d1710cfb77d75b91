//! Masks that were made, kept as label PNGs under the digest of their image and of how they were made: an image that
//! changes, or other settings, make another mask.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use detcon_core::digest::sha256;
use detcon_core::files::temporary_in;
use detcon_core::image::ImageLimits;
use detcon_core::segment::SegmentMap;

use crate::loader::LoaderError;
use crate::masks::MaskSource;

/// Masks in a folder.
#[derive(Debug)]
pub(super) struct MaskCache {
    folder: PathBuf,
}

impl MaskCache {
    /// Keeps masks made by `source` below `folder`, which is made if it is not there.
    pub(super) fn open(folder: &Path, source: &MaskSource) -> Result<Self, LoaderError> {
        let settings = serde_json::to_vec(source).unwrap_or_default();
        let folder = folder.join(&sha256(&settings)[..16]);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        Ok(Self { folder })
    }

    /// The mask of an image of this digest, height and width: kept, or made and kept. One that does not read is made
    /// again.
    pub(super) fn get_or_make(
        &self,
        digest: &str,
        [height, width]: [u32; 2],
        make: impl FnOnce() -> Result<SegmentMap, LoaderError>,
    ) -> Result<SegmentMap, LoaderError> {
        let path = self.folder.join(&digest[..2]).join(format!("{digest}.png"));
        match fs::read(&path) {
            Ok(png) => {
                let map = SegmentMap::from_png(&png, &ImageLimits::default()).ok();
                let map = map.filter(|map| [map.height(), map.width()] == [height, width]);
                if let Some(map) = map {
                    return Ok(map);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path)(error)),
        }
        let map = make()?;
        self.keep(&path, &map.to_png()).map_err(failed(&path))?;
        Ok(map)
    }

    /// Whole or not at all: another process may be reading.
    fn keep(&self, path: &Path, png: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        let mut file = temporary_in(&self.folder)?;
        file.write_all(png)?;
        file.persist(path)?;
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> LoaderError {
    let path = path.to_owned();
    move |cause| LoaderError::Cache { path, cause }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_mask_that_is_kept_has_the_mode_of_any_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = MaskCache {
            folder: folder.path().to_owned(),
        };
        let (kept, other) = (
            folder.path().join("ab/kept.png"),
            folder.path().join("other"),
        );
        cache.keep(&kept, b"png").unwrap();
        fs::write(&other, b"png").unwrap();
        let [kept, other] = [kept, other].map(|path| path.metadata().unwrap().permissions().mode());
        assert_eq!(kept, other);
    }
}
