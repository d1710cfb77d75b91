//! What ranks compute together.

use tch::{Device, Tensor, no_grad};

use super::ffi::RawGroup;
use super::store::{PATIENCE, Store};
use super::watch::Watch;
use super::{DistributedError, Rendezvous, Share};
use crate::tensor::axis;

/// Numbers that are reduced at once: as many float32 as make 32 MiB.
const BUCKET: usize = 1 << 23;

/// The ranks of a run, this one among them.
///
/// Fields are dropped in their order: the group, the watch, and last the store that both need.
#[derive(Debug)]
pub struct Group {
    raw: RawGroup,
    watch: Watch,
    _store: Store,
    share: Share,
}

impl Group {
    /// Meets the other ranks, which compute on a device of the same kind: over NCCL on CUDA, over Gloo elsewhere.
    pub fn meet(rendezvous: &Rendezvous, device: Device) -> Result<Self, DistributedError> {
        let share = rendezvous.share;
        let alone = |reason| DistributedError::Alone {
            rank: share.rank(),
            size: share.size(),
            address: rendezvous.address(),
            reason,
        };
        let store = Store::open(rendezvous, share.leads() && !rendezvous.served, PATIENCE)?;
        let place = [share.rank(), share.size()];
        let raw = RawGroup::open(store.raw(), device.is_cuda(), place, PATIENCE).map_err(alone)?;
        let silence = i64::try_from(rendezvous.silence).unwrap_or(i64::MAX / 1000) * 1000;
        let watched = Store::open(rendezvous, false, silence)?;
        Ok(Self {
            raw,
            watch: Watch::start(rendezvous, watched),
            _store: store,
            share,
        })
    }

    /// This rank among them.
    #[must_use]
    pub const fn share(&self) -> Share {
        self.share
    }

    /// Fails where a collective has failed, with the number of the rank that is gone.
    pub fn check(&self) -> Result<(), DistributedError> {
        match self.raw.failure() {
            Some(reason) => Err(self.watch.explain(reason)),
            None => Ok(()),
        }
    }

    /// Replaces each tensor by its mean over the ranks, without a gradient.
    pub fn average<'a>(&self, tensors: impl IntoIterator<Item = &'a mut Tensor>) {
        let mut bucket = Vec::new();
        let mut filled = 0;
        for tensor in tensors {
            filled += tensor.numel();
            bucket.push(tensor);
            if filled >= BUCKET {
                self.average_bucket(&mut bucket);
                filled = 0;
            }
        }
        self.average_bucket(&mut bucket);
    }

    fn average_bucket(&self, tensors: &mut Vec<&mut Tensor>) {
        if tensors.is_empty() {
            return;
        }
        no_grad(|| {
            let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.flatten(0, -1)).collect();
            let sizes: Vec<i64> = flat.iter().map(|tensor| tensor.size()[0]).collect();
            let mut all = Tensor::cat(&flat, 0);
            collective(self.raw.mean(&mut all));
            for (tensor, mean) in tensors.drain(..).zip(all.split_with_sizes(sizes, 0)) {
                tensor.copy_(&mean.view_as(tensor));
            }
        });
    }

    /// The mean of each number over the ranks.
    ///
    /// # Panics
    /// Where the device's memory cannot be read.
    #[must_use]
    pub fn average_of(&self, values: &[f64], device: Device) -> Vec<f64> {
        let mut tensor = Tensor::from_slice(values).to_device(device);
        collective(self.raw.mean(&mut tensor));
        Vec::try_from(&tensor).expect("a vector of doubles can be read")
    }

    /// The tensors of all ranks one after the other along the first axis: `[N, …]` → `[ranks·N, …]`. Its gradient is
    /// the sum of what all ranks have for this rank's.
    pub fn gather(&self, tensor: &Tensor) -> Tensor {
        collective(self.raw.gather(tensor, axis(self.share.rank())))
    }

    /// A batch norm by the batches of all ranks: output, mean and variance.
    pub(crate) fn batch_norm(
        &self,
        input: &Tensor,
        parameters: [&Tensor; 2],
        epsilon: f64,
    ) -> [Tensor; 3] {
        collective(self.raw.batch_norm(input, parameters, epsilon))
    }
}

/// What a collective gave. It fails where its tensors are wrong, not where a rank is.
fn collective<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|reason| panic!("tensors that ranks cannot share: {reason}"))
}
