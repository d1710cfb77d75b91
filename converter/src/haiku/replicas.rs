//! Checkpoints of several devices: JAX's `pmap` puts a leading axis of devices in front of every array of an
//! experiment's state, with the same values for each. One of them is taken; if they differ, none is.

use super::{Entry, HaikuError, HaikuTree};
use crate::pickle::{Array, AxisOrder};

/// How the path of the stem's module ends.
const STEM: &str = "/initial_conv";

impl HaikuTree<'_> {
    /// How many devices the arrays have a leading axis for. Counters of moving averages tell: they have no axes
    /// of their own. Where there are no counters the stem's kernel does: it has four.
    #[must_use]
    pub fn devices(&self) -> Option<usize> {
        let mut counters = self.entries.iter().filter(|entry| entry.name == "counter");
        let stem = |entry: &&Entry<'_>| entry.module.ends_with(STEM) && entry.name == "w";
        let devices = match counters.next() {
            Some(counter) => match counter.array.shape() {
                &[devices] => devices,
                _ => return None,
            },
            None => match *self.entries.iter().find(stem)?.array.shape() {
                [devices, _, _, _, _] => devices,
                _ => return None,
            },
        };
        let all = counters.all(|counter| counter.array.shape() == [devices]);
        let leading = self
            .entries
            .iter()
            .all(|entry| entry.array.shape().first() == Some(&devices));
        (all && leading && devices > 0).then_some(devices)
    }

    /// Takes the first device's values of every entry, once it is certain that all devices have the same.
    pub fn first_device(self) -> Result<Self, HaikuError> {
        let devices = self
            .entries
            .first()
            .and_then(|entry| entry.array.shape().first().copied())
            .unwrap_or(0);
        let entries = self
            .entries
            .into_iter()
            .map(|entry| first_device(entry, devices));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            ..self
        })
    }
}

fn first_device(entry: Entry<'_>, devices: usize) -> Result<Entry<'_>, HaikuError> {
    let missing = || HaikuError::NoDeviceAxis {
        key: entry.key(),
        shape: entry.array.shape().to_vec(),
        devices,
    };
    if entry.array.shape().first() != Some(&devices) {
        return Err(missing());
    }
    let first = entry.array.entry(0).map_err(|_| missing())?;
    if !same_on_all(&entry.array, &first, devices) {
        return Err(HaikuError::ReplicasDiffer { key: entry.key() });
    }
    Ok(Entry {
        array: first,
        ..entry
    })
}

/// Compares bytes, so that a NaN equals itself.
fn same_on_all(array: &Array<'_>, first: &Array<'_>, devices: usize) -> bool {
    match array.encoding().axis_order {
        AxisOrder::C => {
            first.is_empty()
                || array
                    .bytes()
                    .chunks_exact(first.bytes().len())
                    .all(|one| one == first.bytes())
        }
        AxisOrder::Fortran => (1..devices).all(|device| {
            array
                .entry(device)
                .is_ok_and(|one| one.bytes() == first.bytes())
        }),
    }
}
