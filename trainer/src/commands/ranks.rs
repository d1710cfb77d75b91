//! Which device, and which rank of a run: flags, or what torchrun puts in the environment.

use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use detcon_trainer::device::{check_version, cuda, keep_memory};
use detcon_trainer::distributed::{Group, Rendezvous, Share};
use detcon_trainer::memory;
use tch::Device;

#[derive(Clone, Copy, ValueEnum)]
enum DeviceKind {
    /// The processor.
    Cpu,
    /// The GPU of the rank's number on its machine.
    Cuda,
}

#[derive(Args)]
pub(crate) struct DeviceArguments {
    /// Where to compute. CUDA needs `libtorch_cuda.so` of PyTorch's build for it.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

impl DeviceArguments {
    /// The device, of several GPUs the one of a number.
    pub(crate) fn open(&self, number: usize) -> anyhow::Result<Device> {
        keep_memory();
        Ok(match self.device {
            DeviceKind::Cpu => {
                check_version()?;
                Device::Cpu
            }
            DeviceKind::Cuda => cuda(number)?,
        })
    }
}

impl DeviceArguments {
    /// Bytes of memory for one of some ranks, where that is known: of the processor's, which those on this machine share.
    /// What a GPU has is not asked.
    pub(crate) fn memory(&self, ranks: u64) -> Option<u64> {
        match self.device {
            DeviceKind::Cpu => memory::available().map(|bytes| bytes / ranks.max(1)),
            DeviceKind::Cuda => None,
        }
    }
}

/// Of a run on several processes, each with its share of every batch. torchrun, SLURM and Kubeflow set these.
#[derive(Args)]
#[command(next_help_heading = "Ranks")]
pub(crate) struct RankArguments {
    /// Processes of the run.
    #[arg(long, env = "WORLD_SIZE", default_value = "1")]
    world_size: usize,
    /// Those of them on this machine, which share its memory [default: all].
    #[arg(long, env = "LOCAL_WORLD_SIZE")]
    local_world_size: Option<usize>,
    /// This one's number.
    #[arg(long, env = "RANK", default_value = "0")]
    rank: usize,
    /// Its number on its machine, and of its GPU.
    #[arg(long, env = "LOCAL_RANK", default_value = "0")]
    local_rank: usize,
    /// Host at which they meet.
    #[arg(long, env = "MASTER_ADDR", default_value = "127.0.0.1")]
    master_addr: String,
    /// Its port.
    #[arg(long, env = "MASTER_PORT", default_value = "29500")]
    master_port: u16,
    /// Whether somebody else serves that port, as torchrun does, and not rank 0.
    #[arg(
        long,
        env = "TORCHELASTIC_USE_AGENT_STORE",
        default_value = "false",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new()
    )]
    agent_store: bool,
    /// Seconds without a sign of life after which a rank counts as gone.
    #[arg(long, default_value = "20")]
    silence: u64,
}

impl RankArguments {
    /// Processes of the run.
    pub(crate) const fn count(&self) -> u64 {
        self.world_size as u64
    }

    /// Those on this machine.
    pub(crate) fn local_count(&self) -> u64 {
        self.local_world_size.unwrap_or(self.world_size) as u64
    }

    /// Its number on its machine.
    pub(crate) const fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Meets the other processes, where there are any.
    pub(crate) fn meet(&self, device: Device) -> anyhow::Result<Option<Arc<Group>>> {
        let rendezvous = Rendezvous {
            share: Share::new(self.rank, self.world_size)?,
            host: self.master_addr.clone(),
            port: self.master_port,
            served: self.agent_store,
            silence: self.silence,
        };
        if self.world_size == 1 {
            return Ok(None);
        }
        Ok(Some(Arc::new(Group::meet(&rendezvous, device)?)))
    }
}
