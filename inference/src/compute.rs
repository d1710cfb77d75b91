//! Where and with how many threads sessions compute.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

/// Where sessions compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// On the processor.
    #[default]
    Cpu,
    /// On the GPU of this number, by ONNX Runtime's CUDA provider.
    Cuda(i32),
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => "0",
            _ => text.strip_prefix("cuda:").unwrap_or_default(),
        };
        let number: Result<u8, _> = number.parse();
        let number = number.map_err(|_| "give cpu, cuda, or cuda:N for the GPU of number N")?;
        Ok(Self::Cuda(number.into()))
    }
}

/// How sessions compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Where.
    pub device: Device,
    /// Threads of a session.
    pub threads: NonZeroUsize,
    /// How long threads without work wait in a loop, which spares a call of the system's and takes the processor from
    /// others.
    pub spinning: Duration,
}
