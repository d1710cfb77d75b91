//! How far a run is: counted where it happens, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a run has done so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Images whose rows are in a part.
    pub images: Count,
    /// Rows in parts.
    pub rows: Count,
    /// Images that could not be used.
    pub errors: Count,
    /// Parts that are there.
    pub parts: Count,
    /// Units of the input that were read: images, or bytes of archives.
    pub units: Count,
    /// Bytes of images that were read.
    pub bytes: Count,
    /// How long decoders waited for images to be read.
    pub for_reading: Count,
    /// How long decoders waited for memory that later stages hold.
    pub for_room: Count,
    /// How long engines waited for inputs.
    pub for_inputs: Count,
    /// How long engines computed.
    pub computing: Count,
}

/// A number that grows; of times, nanoseconds.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How much it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds the time that something takes.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        done
    }
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Images to arrive.
    Reading,
    /// Images to be decoded, and segmented.
    Decoding,
    /// The network.
    Computing,
    /// Parts to be written.
    Writing,
}

impl Waits {
    /// Its name in progress lines and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Decoding => "decoding",
            Self::Computing => "computing",
            Self::Writing => "writing",
        }
    }
}

/// Waiting times at an instant, to tell from later ones what a run waits for in between.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    at: Instant,
    reading: u64,
    room: u64,
    inputs: u64,
}

/// The share of its time from which on a stage waits.
const MUCH: f64 = 0.2;

impl Glance {
    /// Waiting times now.
    #[must_use]
    pub fn now(counts: &Counts) -> Self {
        Self {
            at: Instant::now(),
            reading: counts.for_reading.get(),
            room: counts.for_room.get(),
            inputs: counts.for_inputs.get(),
        }
    }

    /// What was waited for from this glance to a later one, by so many decoders and engines: engines that do not wait are
    /// what is waited for; or else what the decoders before them wait for, or they themselves.
    #[must_use]
    pub fn until(&self, later: &Self, decoders: usize, engines: usize) -> Waits {
        let passed = later
            .at
            .duration_since(self.at)
            .max(Duration::from_millis(1));
        let share = |before: u64, now: u64, of: usize| {
            let waited = Duration::from_nanos(now.saturating_sub(before));
            waited.as_secs_f64()
                / (passed.as_secs_f64() * f64::from(u32::try_from(of).unwrap_or(1)))
        };
        if share(self.inputs, later.inputs, engines) < MUCH {
            Waits::Computing
        } else if share(self.room, later.room, decoders) > MUCH {
            Waits::Writing
        } else if share(self.reading, later.reading, decoders) > MUCH {
            Waits::Reading
        } else {
            Waits::Decoding
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_tells_what_for() {
        let second = 1_000_000_000;
        let begin = Glance {
            at: Instant::now(),
            reading: 0,
            room: 0,
            inputs: 0,
        };
        let waits = |reading, room, inputs| {
            let later = Glance {
                at: begin.at + Duration::from_secs(1),
                reading,
                room,
                inputs,
            };
            begin.until(&later, 2, 1)
        };
        assert_eq!(waits(second, second, 0), Waits::Computing);
        assert_eq!(waits(0, 0, second / 2), Waits::Decoding);
        assert_eq!(waits(second, 0, second / 2), Waits::Reading);
        assert_eq!(waits(0, second, second / 2), Waits::Writing);
    }
}
