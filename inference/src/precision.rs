//! Which of a model's precisions embeddings are computed in.

use detcon_core::model::{Manifest, Precision};

use crate::compute::Device;

/// Which of a model's precisions embeddings are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum PrecisionChoice {
    /// int8 on processors that multiply bytes exactly, where the model has it with its quality measured, else fp32.
    Auto,
    /// 32-bit floats.
    Fp32,
    /// 8-bit integers; models without such a graph are refused.
    Int8,
    /// 16-bit floats; models without such a graph are refused.
    Fp16,
}

impl PrecisionChoice {
    /// The precision of a model on a device.
    #[must_use]
    pub fn of(self, manifest: &Manifest, device: Device) -> Precision {
        match self {
            Self::Fp32 => Precision::Fp32,
            Self::Int8 => Precision::Int8,
            Self::Fp16 => Precision::Fp16,
            Self::Auto => {
                let measured = manifest.precisions.contains(&Precision::Int8)
                    && manifest.quality.contains_key(&Precision::Int8);
                if measured && device == Device::Cpu && multiplies_bytes_exactly() {
                    Precision::Int8
                } else {
                    Precision::Fp32
                }
            }
        }
    }
}

/// Whether the processor sums products of bytes in 32 bits. x86 without VNNI sums pairs of them in 16 bits, which
/// saturate: int8 is then slower and not what was measured.
#[cfg(target_arch = "x86_64")]
fn multiplies_bytes_exactly() -> bool {
    std::arch::is_x86_feature_detected!("avx512vnni")
        || std::arch::is_x86_feature_detected!("avxvnni")
}

/// As above; here by the instructions SDOT and UDOT.
#[cfg(target_arch = "aarch64")]
fn multiplies_bytes_exactly() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// As above; nothing is known of other processors.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn multiplies_bytes_exactly() -> bool {
    false
}
