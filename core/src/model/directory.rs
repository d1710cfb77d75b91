//! Opening a model directory: the manifest is read strictly and every file's digest is checked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file;
use super::manifest::{Manifest, ManifestError, ModelName, Precision};
use super::self_check::SelfCheck;
use crate::arch::ResNetSpec;
use crate::checkpoint::tensors_from_bytes;
use crate::digest::{sha256, sha256_file};
use crate::segment::SegmentationHead;

/// Largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Why a directory is not a model that can be served.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file or the directory could not be read.
    #[error("{} could not be read: {source}", name(path))]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The manifest is too long to be one.
    #[error(
        "{} is {bytes} bytes long: a manifest has at most {MAX_MANIFEST_BYTES}",
        name(path)
    )]
    ManifestTooLong {
        /// The manifest.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The manifest is not what this release reads.
    #[error("{} is not a manifest of this format: {source}", name(path))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest is of another version of the format.
    #[error(
        "the manifest has format version {found}, and this release reads 1 to {}: {}",
        Manifest::FORMAT_VERSION,
        if *found > Manifest::FORMAT_VERSION {
            "install a newer release"
        } else {
            "convert the checkpoint again"
        }
    )]
    FormatVersion {
        /// The manifest's.
        found: u32,
    },
    /// Directory and manifest disagree about the name.
    #[error(
        "the directory is called {directory:?} and its manifest says {manifest:?}: rename the directory"
    )]
    Name {
        /// The directory's name.
        directory: String,
        /// The manifest's.
        manifest: String,
    },
    /// The manifest contradicts itself.
    #[error("the manifest contradicts itself: {detail}")]
    Contradiction {
        /// What does not fit.
        detail: String,
    },
    /// A file that the manifest needs is not listed in it.
    #[error("the manifest lists no {name}: convert the checkpoint again")]
    NotListed {
        /// The file.
        name: String,
    },
    /// A file is not what it was when the directory was made.
    #[error("{name} is damaged ({what}): fetch or convert the model again")]
    Damaged {
        /// The file.
        name: String,
        /// What differs.
        what: String,
    },
    /// A segmentation head's file does not hold what the manifest says.
    #[error("the segmentation head {name} cannot be used: {detail}")]
    Head {
        /// The head.
        name: ModelName,
        /// What is wrong with it.
        detail: String,
    },
    /// The self-check's file does not hold what it should.
    #[error("{name} is not a self-check: {detail}")]
    SelfCheck {
        /// The file.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// What a path ends in: reasons reach clients, who have no business with where a store is.
fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A model directory whose manifest was read and whose files are what the manifest says.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    manifest: Manifest,
    digest: String,
}

impl ModelDirectory {
    /// Reads the manifest and checks that every file is there, with its length and digest.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let manifest_path = path.join(file::MANIFEST);
        let bytes = read_capped(&manifest_path)?;
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| match error {
            ManifestError::FormatVersion { found } => ModelError::FormatVersion { found },
            ManifestError::Json(source) => ModelError::Manifest {
                path: manifest_path,
                source,
            },
        })?;
        check_manifest(path, &manifest)?;
        for (name, entry) in &manifest.files {
            check_file(path, name, entry.bytes, &entry.sha256)?;
        }
        Ok(Self {
            path: path.to_owned(),
            manifest,
            digest: sha256(&bytes),
        })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest: it names every file's digest, so it identifies the whole model.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the manifest that is there now is still the one that was read: a directory is replaced as a whole, and
    /// files that are opened late have to be of the same model as those that were opened early.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        read_capped(&self.path.join(file::MANIFEST))
            .is_ok_and(|bytes| sha256(&bytes) == self.digest)
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the graph of a precision, if the model has it.
    #[must_use]
    pub fn graph(&self, precision: Precision) -> Option<PathBuf> {
        self.manifest
            .precisions
            .contains(&precision)
            .then(|| self.path.join(precision.graph_file()))
    }

    /// Reads the self-check as a precision has to pass it: what was measured of it decides the tolerance.
    pub fn self_check_of(&self, precision: Precision) -> Result<SelfCheck, ModelError> {
        let mut check = self.self_check()?;
        if let Some(quality) = self.manifest.quality.get(&precision) {
            check.tolerance = quality.self_check_tolerance;
        }
        Ok(check)
    }

    /// Path of the graph that gives every stage, if the model has one.
    #[must_use]
    pub fn stages_graph(&self) -> Option<PathBuf> {
        let listed = self.manifest.files.contains_key(file::STAGES_ONNX);
        listed.then(|| self.path.join(file::STAGES_ONNX))
    }

    /// Path of the heads, if the source had any.
    #[must_use]
    pub fn heads(&self) -> Option<PathBuf> {
        self.manifest
            .files
            .contains_key(file::HEADS)
            .then(|| self.path.join(file::HEADS))
    }

    /// Reads a segmentation head that the manifest lists; none where it lists no such head.
    pub fn segmentation_head(
        &self,
        name: &ModelName,
    ) -> Result<Option<SegmentationHead>, ModelError> {
        let Some(entry) = self.manifest.segmentation_heads.get(name) else {
            return Ok(None);
        };
        let path = self.path.join(file::head(name));
        let bytes = fs::read(&path).map_err(|source| ModelError::Io { path, source })?;
        let damaged = |detail: String| ModelError::Head {
            name: name.clone(),
            detail,
        };
        let tensors = tensors_from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
        let head = entry.read(self.manifest.spec, &tensors);
        head.map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Reads the self-check.
    pub fn self_check(&self) -> Result<SelfCheck, ModelError> {
        let entry = &self.manifest.self_check;
        let path = self.path.join(&entry.file);
        let bytes = fs::read(&path).map_err(|source| ModelError::Io { path, source })?;
        SelfCheck::from_bytes(&bytes, entry.tolerance, self.manifest.embedding_size).map_err(
            |detail| ModelError::SelfCheck {
                name: entry.file.clone(),
                detail,
            },
        )
    }
}

/// The spec of the model directory that `file` is of: the manifest beside it lists it under its name, with its length and
/// digest. Nothing where there is no such manifest.
pub fn declared_beside(file: &Path) -> io::Result<Option<ResNetSpec>> {
    let manifest = read_capped(&file.with_file_name(file::MANIFEST)).ok();
    let manifest = manifest.and_then(|bytes| Manifest::from_bytes(&bytes).ok());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let listed = manifest.and_then(|it| Some((it.files.get(name.as_ref())?.clone(), it.spec)));
    let Some((entry, spec)) = listed else {
        return Ok(None);
    };
    let same = sha256_file(file)? == (entry.sha256, entry.bytes);
    Ok(same.then_some(spec))
}

/// The directories in `store` that hold a model or claim to, sorted by name: every one, and every link to one, whose
/// name does not start with a dot. One of which the file system does not say whether it is one claims to.
pub fn list(store: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let io = |source| ModelError::Io {
        path: store.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(store).map_err(io)? {
        let entry = entry.map_err(io)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && may_be_directory(&entry) && !is_of_the_system(&entry) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a folder is there for another reason (`lost+found`, `@eaDir`): no model can have its name, and none is in it.
fn is_of_the_system(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().into_string().map(ModelName::try_from);
    let named = matches!(name, Ok(Ok(_)));
    !named && !entry.path().join(file::MANIFEST).exists()
}

fn may_be_directory(entry: &fs::DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        Ok(_) | Err(_) => match fs::metadata(entry.path()) {
            Ok(target) => target.is_dir(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        },
    }
}

fn read_capped(path: &Path) -> Result<Vec<u8>, ModelError> {
    let io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > MAX_MANIFEST_BYTES {
        return Err(ModelError::ManifestTooLong {
            path: path.to_owned(),
            bytes,
        });
    }
    fs::read(path).map_err(io)
}

fn check_manifest(path: &Path, manifest: &Manifest) -> Result<(), ModelError> {
    let directory = path.file_name().unwrap_or_default().to_string_lossy();
    if directory != manifest.name.as_str() {
        return Err(ModelError::Name {
            directory: directory.into_owned(),
            manifest: manifest.name.to_string(),
        });
    }
    if manifest.embedding_size != manifest.spec.embedding_size() {
        let detail = format!(
            "a {} has embeddings of {}, not {}",
            manifest.spec,
            manifest.spec.embedding_size(),
            manifest.embedding_size
        );
        return Err(ModelError::Contradiction { detail });
    }
    for (name, head) in &manifest.segmentation_heads {
        let file = file::head(name);
        if !manifest.files.contains_key(&file) {
            return Err(ModelError::NotListed { name: file });
        }
        if let Some(detail) = head.contradiction() {
            let detail = format!("the segmentation head {name}: {detail}");
            return Err(ModelError::Contradiction { detail });
        }
    }
    let needed = [
        file::BACKBONE,
        file::ONNX,
        manifest.self_check.file.as_str(),
    ];
    let graphs = manifest.precisions.iter().map(|it| it.graph_file());
    match needed
        .into_iter()
        .chain(graphs)
        .find(|name| !manifest.files.contains_key(*name))
    {
        Some(name) => Err(ModelError::NotListed {
            name: name.to_owned(),
        }),
        None => Ok(()),
    }
}

fn check_file(directory: &Path, name: &str, bytes: u64, sha256: &str) -> Result<(), ModelError> {
    let damaged = |what: String| ModelError::Damaged {
        name: name.to_owned(),
        what,
    };
    let inside = Path::new(name)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        return Err(ModelError::Contradiction {
            detail: format!("the file {name:?} is outside the directory"),
        });
    }
    let path = directory.join(name);
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("it is missing".to_owned()));
        }
        Err(source) => return Err(ModelError::Io { path, source }),
    };
    if length != bytes {
        return Err(damaged(format!("{length} bytes instead of {bytes}")));
    }
    let (found, _) = sha256_file(&path).map_err(|source| ModelError::Io { path, source })?;
    if found == sha256 {
        Ok(())
    } else {
        Err(damaged(format!(
            "its SHA-256 is {found} instead of {sha256}"
        )))
    }
}
