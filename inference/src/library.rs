//! ONNX Runtime's shared library, loaded once a process: whoever asks later gets the same.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::error::{InferenceError, LoadError};

/// Where `make` puts the library, below the current directory.
const FETCHED: &str = ".deps/onnxruntime/libonnxruntime.so";
/// What the system's loader may know it as.
const SYSTEM: &str = "libonnxruntime.so";

/// A process has one environment, for good.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// ONNX Runtime, loaded.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads the shared library at `path`. A process loads one: later calls get the first.
    pub fn load(path: &Path) -> Result<Self, InferenceError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = &*loaded {
            return Ok(Self {
                environment: environment.clone(),
            });
        }
        let failed = |source| LoadError {
            path: path.to_owned(),
            source,
        };
        let builder = ort::init_from(path).map_err(|error| failed(Box::new(error)))?;
        let environment = builder
            .with_name("detcon")
            .build()
            .map_err(|error| failed(Box::new(error)))?;
        Ok(Self {
            environment: loaded.insert(environment).clone(),
        })
    }

    /// What sessions are opened in: for a measurement that a model's own are held against.
    #[must_use]
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The library to load: the one named, or the first that is there of beside the program, where `make` puts it, and
/// wherever the system's loader looks.
#[must_use]
pub fn library(named: Option<&Path>) -> PathBuf {
    if let Some(path) = named {
        return path.to_owned();
    }
    let program = std::env::current_exe().ok();
    let beside = program.and_then(|path| Some(path.parent()?.join(SYSTEM)));
    let mut candidates = beside.into_iter().chain([PathBuf::from(FETCHED)]);
    candidates
        .find(|path| path.is_file())
        .unwrap_or_else(|| SYSTEM.into())
}
