//! Memory that requests share: it is counted before it is taken, and there is only so much of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in units of this many bytes.
const UNIT: u64 = 4096;

/// Memory of one kind, for all requests together.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    units: u64,
}

/// There is no more at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// What a request has of a memory; it is given back when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Memory {
    /// Room for `bytes`.
    #[must_use]
    pub(crate) fn new(bytes: u64) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS as u64);
        let units = units.min(u32::MAX.into());
        let permits = usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(permits)),
            units,
        }
    }

    /// All of it, in bytes.
    #[must_use]
    pub(crate) const fn bytes(&self) -> u64 {
        self.units * UNIT
    }

    /// What is taken of it, in bytes.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        (self.units - self.free.available_permits() as u64) * UNIT
    }

    /// Makes a share as large as `bytes`, if there is room now.
    pub(crate) fn grow(&self, share: &mut Share, bytes: u64) -> Result<(), NoRoom> {
        let missing = bytes.div_ceil(UNIT).saturating_sub(share.units());
        if missing == 0 {
            return Ok(());
        }
        let count = u32::try_from(missing).map_err(|_| NoRoom)?;
        let more = Arc::clone(&self.free).try_acquire_many_owned(count);
        share.add(more.map_err(|_| NoRoom)?);
        Ok(())
    }

    /// A share of `bytes`, once there is room and nobody is before. More than there is at all never comes.
    pub(crate) async fn wait(&self, bytes: u64) -> Result<Share, NoRoom> {
        let units = bytes.div_ceil(UNIT);
        let count = u32::try_from(units).map_err(|_| NoRoom)?;
        if units > self.units {
            return Err(NoRoom);
        }
        let permit = Arc::clone(&self.free).acquire_many_owned(count).await;
        permit.map(|permit| Share(Some(permit))).map_err(|_| NoRoom)
    }
}

impl Share {
    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let surplus = self.units().saturating_sub(bytes.div_ceil(UNIT));
        let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
        drop(self.0.as_mut().and_then(|permit| permit.split(surplus)));
    }

    fn units(&self) -> u64 {
        self.0.as_ref().map_or(0, |it| it.num_permits() as u64)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_are_no_more_than_there_is_and_are_given_back() {
        let memory = Memory::new(10 * UNIT);
        let (mut one, mut two) = (Share::default(), Share::default());
        memory.grow(&mut one, 6 * UNIT).unwrap();
        assert_eq!(memory.grow(&mut two, 5 * UNIT), Err(NoRoom));
        memory.grow(&mut two, 4 * UNIT).unwrap();
        assert_eq!(memory.grow(&mut one, 6 * UNIT + 1), Err(NoRoom));
        assert_eq!(memory.taken(), memory.bytes());
        one.shrink(UNIT);
        assert_eq!(memory.taken(), 5 * UNIT);
        memory.grow(&mut two, 9 * UNIT).unwrap();
        drop((one, two));
        assert_eq!(memory.taken(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_has_it_as_soon_as_it_is_free_and_too_much_is_never_waited_for() {
        let memory = Memory::new(10 * UNIT);
        let held = memory.wait(8 * UNIT).await.unwrap();
        let waiting = memory.wait(4 * UNIT);
        drop(held);
        assert!(waiting.await.is_ok());
        for bytes in [10 * UNIT + 1, u64::MAX] {
            assert_eq!(memory.wait(bytes).await.err(), Some(NoRoom));
        }
    }

    #[test]
    fn no_number_of_bytes_is_too_large() {
        let memory = Memory::new(u64::MAX);
        let mut share = Share::default();
        assert_eq!(memory.grow(&mut share, u64::MAX), Err(NoRoom));
        memory.grow(&mut share, 1 << 40).unwrap();
    }
}
