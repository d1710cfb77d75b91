//! Reading, decoding, computing and writing at the same time: each has threads of its own, with queues between them, and
//! memory is handed out before it is taken. Rows are written in the order of the input, whoever computed them first.

mod batcher;
mod budget;
mod error;
mod queue;
mod stages;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use detcon_inference::{BatchLimits, Engine};

pub use self::error::RunError;

use self::batcher::{Batch, Message, WINDOW};
use self::budget::Budget;
use self::queue::{Close, Queue, Sequence};
use self::stages::{Answer, Job, Outcome, Stages};
use crate::count::Counts;
use crate::input::{Found, Input};
use crate::output::{Finished, Parts};
use crate::work::Task;

/// How a run shares the machine.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Images in files of their own that are read at the same time.
    pub readers: NonZeroUsize,
    /// Images that are decoded, and as many whose answers are made rows, at the same time.
    pub decoders: NonZeroUsize,
    /// Bytes of images, inputs and answers under way.
    pub memory: u64,
    /// What goes into one engine call.
    pub batch: BatchLimits,
    /// Most images that cannot be used.
    pub errors: u64,
}

impl Settings {
    /// Least memory: two questions' windows, as much for what comes after, and what is read ahead.
    pub const LEAST_MEMORY: u64 = 6 * WINDOW;

    /// The part of the memory that holds encoded images.
    const fn reading(&self) -> u64 {
        self.memory / 4
    }
}

/// Encoded images before the decoders, for each of them, and at least.
const AHEAD: [u64; 2] = [8, 64];
/// Batches before the engines, for each of them.
const BATCHES: usize = 1;

/// What is to be done.
#[derive(Debug)]
pub struct Run<'a> {
    /// The images.
    pub input: &'a Input,
    /// Parts to make, in order.
    pub todo: &'a [u32],
    /// What is computed of each image.
    pub task: Arc<Task>,
    /// Where parts go.
    pub parts: &'a Parts,
    /// How the machine is shared.
    pub settings: Settings,
    /// How far it is.
    pub counts: &'a Counts,
}

/// Makes the parts that are to be made, with the engines that there are.
pub fn run(run: &Run<'_>, engines: Vec<Engine>) -> Result<(), RunError> {
    let Settings {
        readers,
        decoders,
        memory,
        ..
    } = run.settings;
    let ahead = (decoders.get() as u64 * AHEAD[0]).max(AHEAD[1]);
    let reading = run.settings.reading();
    let stages = Stages {
        run,
        files: Queue::<(u64, Found)>::bounded(readers.get()),
        images: Sequence::<Job>::new(ahead, reading),
        budget: Budget::new(memory - reading),
        arrivals: Queue::<Message>::unbounded(),
        batches: Queue::<Batch>::bounded(BATCHES * engines.len()),
        answers: Queue::<Answer>::unbounded(),
        outcomes: Sequence::<Outcome>::new(u64::MAX, u64::MAX),
        finished: Queue::<Finished>::bounded(1),
    };
    let alarm = Alarm {
        first: Mutex::default(),
        stages: [
            &stages.files,
            &stages.images,
            &stages.budget,
            &stages.arrivals,
            &stages.batches,
            &stages.answers,
            &stages.outcomes,
            &stages.finished,
        ],
    };
    let (stages, alarm) = (&stages, &alarm);
    thread::scope(|scope| {
        scope.spawn(|| alarm.guard(|| stages.feed()));
        for _ in 0..readers.get() {
            scope.spawn(|| alarm.guard(|| stages.read()));
        }
        for _ in 0..decoders.get() {
            scope.spawn(|| alarm.guarded(|| stages.decode()));
            scope.spawn(|| alarm.guarded(|| stages.finish()));
        }
        scope.spawn(|| alarm.guarded(|| stages.batch()));
        let computing = engines
            .into_iter()
            .map(|mut engine| scope.spawn(move || alarm.guard(|| stages.compute(&mut engine))));
        let computing: Vec<_> = computing.collect();
        scope.spawn(|| alarm.guard(|| stages.write()));
        scope.spawn(|| alarm.guard(|| stages.publish()));
        for engine in computing {
            let _ = engine.join(); // its panic was caught
        }
        stages.answers.end();
    });
    let mut first = alarm.first.lock().unwrap_or_else(PoisonError::into_inner);
    first.take().map_or(Ok(()), Err)
}

/// The first thing that went wrong, and everything that then waits no more.
struct Alarm<'a> {
    first: Mutex<Option<RunError>>,
    stages: [&'a dyn Close; 8],
}

impl Alarm<'_> {
    /// Does work with which nothing goes wrong but by a fault of this program.
    fn guarded(&self, work: impl FnOnce()) {
        self.guard(|| {
            work();
            Ok(())
        });
    }

    /// Does work; what goes wrong with it ends all the other's.
    fn guard(&self, work: impl FnOnce() -> Result<(), RunError>) {
        let done = catch_unwind(AssertUnwindSafe(work));
        if let Err(error) = done.unwrap_or(Err(RunError::Panic)) {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
            drop(first);
            self.stages.iter().for_each(|stage| stage.close());
        }
    }
}
