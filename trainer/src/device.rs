//! Where networks compute. The program needs libtorch's CPU half alone; its CUDA half is loaded when it is asked for, so
//! that one program serves both.
#![expect(
    unsafe_code,
    reason = "loading a library runs its initialisers, and the shim is C++"
)]

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device};

/// libtorch's CUDA half.
const CUDA: &str = "libtorch_cuda.so";

unsafe extern "C" {
    fn detcon_versions(built: *mut u64, found: *mut u64);
    fn detcon_keep_memory();
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Another libtorch than the one the program was built with.
    #[error(
        "the program was built with libtorch {built} and found {found}: put the lib folder of PyTorch {built} first in LD_LIBRARY_PATH"
    )]
    Version {
        /// The one it needs.
        built: String,
        /// The one that is there.
        found: String,
    },
    /// No CUDA half.
    #[error(
        "no CUDA: {reason}; install PyTorch {version} for CUDA and put its lib folder in LD_LIBRARY_PATH, or use --device cpu"
    )]
    Library {
        /// What the loader said.
        reason: String,
        /// The version that fits.
        version: String,
    },
    /// The CUDA half is there, and no GPU.
    #[error(
        "no CUDA device {number}: {count} can be used (nvidia-smi and CUDA_VISIBLE_DEVICES say which); or use --device cpu"
    )]
    Missing {
        /// The one that was asked for.
        number: usize,
        /// How many there are.
        count: i64,
    },
}

/// A CUDA device by its number.
pub fn cuda(number: usize) -> Result<Device, DeviceError> {
    let version = check_version()?;
    // SAFETY: libtorch_cuda registers its kernels with the libtorch that is loaded already, of the same version.
    let library = unsafe { Library::open(Some(CUDA), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| DeviceError::Library {
        reason: reason(&error),
        version,
    })?;
    // It stays for as long as the program runs: its kernels are registered.
    std::mem::forget(library);
    let count = Cuda::device_count();
    if i64::try_from(number).is_ok_and(|number| number < count) {
        Ok(Device::Cuda(number))
    } else {
        Err(DeviceError::Missing { number, count })
    }
}

/// Refuses another libtorch than the one of the build; gives its version.
pub fn check_version() -> Result<String, DeviceError> {
    let (mut built, mut found) = (0, 0);
    // SAFETY: both are places for a number.
    unsafe { detcon_versions(&raw mut built, &raw mut found) };
    if built == found {
        Ok(written(built))
    } else {
        let [built, found] = [built, found].map(written);
        Err(DeviceError::Version { built, found })
    }
}

/// Keeps the memory of tensors that are let go of, for the next ones: a step makes and drops thousands, and fresh memory
/// from the system costs more than the arithmetic of the small ones.
pub fn keep_memory() {
    // SAFETY: it sets two numbers of the C library's allocator, which locks itself.
    unsafe { detcon_keep_memory() };
}

/// 2.11.0 of 2·2^56 + 11·2^48.
fn written(version: u64) -> String {
    let [major, minor, patch, ..] = version.to_be_bytes();
    if version == 0 {
        return "one that does not say its version".to_owned();
    }
    format!("{major}.{minor}.{patch}")
}

fn reason(error: &libloading::Error) -> String {
    let source = std::error::Error::source(error);
    let text = source.map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libtorch_at_hand_is_the_one_of_the_build() {
        let version = check_version().unwrap();
        assert_eq!(version.split('.').count(), 3, "{version}");
    }

    #[test]
    fn versions_are_read_from_their_bytes() {
        assert_eq!(written((2 << 56) | (11 << 48) | (1 << 40)), "2.11.1");
    }
}
