//! The processors that this process may use, and how the parts of the server share them.
//!
//! Engine and decoding each get a thread for every processor: while the engine computes, decoding takes what the
//! system gives it, and an engine that waits for images leaves all of them to it. Engines of several models take
//! turns, so that together they have no more threads at work than one.

use std::num::NonZeroUsize;
use std::time::Duration;

use detcon_inference::Compute;

use super::EngineArguments;

/// How long engine threads spin where they have processors of their own: ONNX Runtime's default.
const SPINNING_APART: Duration = Duration::from_millis(1);
/// How long they spin where decoding shares their processors: over the gaps between a graph's nodes, so that a lone
/// image is as fast as with endless spinning, and no longer, so that decoding has the processor as soon as it can. On
/// 2 cores (ResNet-50 in int8) a lone client waits 0.5 ms less than without spinning, and as many images are answered.
const SPINNING_SHARED: Duration = Duration::from_micros(50);

/// Threads for each part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    /// Of the engines.
    pub(crate) compute: Compute,
    /// Images decoded at the same time.
    pub(crate) decode: NonZeroUsize,
}

impl Threads {
    /// What flags say, and for the rest as many as there are processors.
    pub(crate) fn of(arguments: &EngineArguments) -> Self {
        Self::shared(arguments, processors())
    }

    fn shared(arguments: &EngineArguments, processors: NonZeroUsize) -> Self {
        let threads = arguments.engine_threads.unwrap_or(processors);
        let decode = arguments.decode_threads.unwrap_or(processors);
        let apart = threads.get() + decode.get() <= processors.get();
        let spinning = arguments.engine_spinning.map_or(
            if apart {
                SPINNING_APART
            } else {
                SPINNING_SHARED
            },
            |microseconds| Duration::from_micros(microseconds.into()),
        );
        Self {
            compute: Compute {
                device: arguments.device,
                threads,
                spinning,
            },
            decode,
        }
    }
}

/// What affinity and the control group's quota (of versions 1 and 2, with every group above) leave to this process:
/// the standard library reads `sched_getaffinity`, `cpu.cfs_quota_us` and `cpu.max`, and rounds a quota down.
fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        engine: EngineArguments,
    }

    fn threads(flags: &[&str], processors: usize) -> (usize, usize, u128) {
        let flags = ["program"].iter().chain(flags);
        let arguments = Program::parse_from(flags).engine;
        let threads = Threads::shared(&arguments, processors.try_into().unwrap());
        (
            threads.compute.threads.get(),
            threads.decode.get(),
            threads.compute.spinning.as_micros(),
        )
    }

    #[test]
    fn engine_threads_spin_long_only_where_decoding_has_processors_of_its_own() {
        assert_eq!(threads(&[], 4), (4, 4, 50));
        assert_eq!(threads(&["--engine-threads", "3"], 4), (3, 4, 50));
        let apart = ["--engine-threads", "3", "--decode-threads", "1"];
        assert_eq!(threads(&apart, 4), (3, 1, 1000));
        assert_eq!(threads(&["--engine-spinning", "0"], 4), (4, 4, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processors_that_affinity_takes_away_are_not_counted() {
        let first = std::thread::spawn(|| {
            let allowed = rustix::thread::sched_getaffinity(None).unwrap();
            let mut one = rustix::thread::CpuSet::new();
            let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu));
            one.set(first.unwrap());
            rustix::thread::sched_setaffinity(None, &one).unwrap(); // of this thread alone
            processors()
        });
        assert_eq!(first.join().unwrap().get(), 1);
    }
}
