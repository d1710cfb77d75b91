//! Batching with an engine that waits to be let on.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::engine::urgency::Party;

/// First byte of an image that the engine fails at.
const FAIL: u8 = 254;
/// First byte of an image that the engine panics at.
const PANIC: u8 = 255;

/// Tells the size of each batch and waits to be let on; an image's embedding is its first byte.
struct Gate {
    sizes: Sender<usize>,
    go: Receiver<()>,
}

impl Run for Gate {
    fn run(&mut self, batch: &Batch, _output: Output) -> Result<Vec<Tensor>, InferenceError> {
        self.sizes.send(batch.shape[0]).unwrap();
        self.go.recv().unwrap();
        assert!(batch.images[0] != PANIC, "the engine panics, as asked");
        if batch.images[0] == FAIL {
            return Err(InferenceError::NotOpen { output: "c2" });
        }
        let area = batch.shape[1] * batch.shape[2] * 3;
        let images = batch.images.chunks(area);
        Ok(images
            .map(|image| Tensor::new(vec![1], vec![f32::from(image[0])]))
            .collect())
    }

    fn reopen(&mut self) -> Result<(), InferenceError> {
        Ok(())
    }
}

fn start(max_batch: usize, queue: usize) -> (Batcher, Receiver<usize>, Sender<()>) {
    start_among(Turns::default(), max_batch, queue)
}

fn start_among(
    turns: Turns,
    max_batch: usize,
    queue: usize,
) -> (Batcher, Receiver<usize>, Sender<()>) {
    let ((sizes, seen), (go, gate)) = (channel(), channel());
    let limits = QueueLimits {
        batch: BatchLimits {
            images: max_batch.try_into().unwrap(),
            pixels: u64::MAX,
        },
        queue: queue.try_into().unwrap(),
    };
    let gate = Gate { sizes, go: gate };
    let batcher = Batcher::start("test", gate, limits, turns, Arc::default());
    (batcher.unwrap(), seen, go)
}

fn submit(batcher: &Batcher, value: u8, places: &mut Places) -> Answer {
    submit_sized(batcher, value, 1, places)
}

fn submit_sized(batcher: &Batcher, value: u8, width: usize, places: &mut Places) -> Answer {
    submit_until(batcher, value, width, places, in_a_minute())
}

fn submit_until(
    batcher: &Batcher,
    value: u8,
    width: usize,
    places: &mut Places,
    deadline: Deadline,
) -> Answer {
    let input = InputTensor {
        height: 1,
        width,
        pixels: vec![value; width * 3],
    };
    batcher.submit(input, Output::Embedding, places.next().unwrap(), deadline)
}

fn in_a_minute() -> Deadline {
    let allowed = Duration::from_mins(1);
    Deadline {
        at: Instant::now() + allowed,
        allowed,
        set_by: Party::Server,
    }
}

fn admit(batcher: &Batcher, images: usize) -> Result<Places, Full> {
    batcher.admit(images, Lane::Interactive)
}

fn value(answer: Answer) -> Result<f32, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let answered = runtime.unwrap().block_on(answer.received());
    answered.map(|tensor| tensor.values()[0])
}

/// A count of an engine's statistics, by the end of its name.
fn count(batcher: &Batcher, name: &str) -> u64 {
    let counts = batcher.stats().counts();
    let found = counts.iter().find(|(known, ..)| known.ends_with(name));
    found.unwrap().2.get()
}

/// The second batch is of the oldest job's size; what came between waits, and keeps its order.
#[test]
fn images_of_different_sizes_do_not_share_a_batch() {
    let (batcher, sizes, go) = start(4, 16);
    let mut places = admit(&batcher, 5).unwrap();
    let first = submit(&batcher, 1, &mut places);
    assert_eq!(sizes.recv().unwrap(), 1);
    let narrow = [2, 4].map(|i| (f32::from(i), submit(&batcher, i, &mut places)));
    let wide = [3, 5].map(|i| (f32::from(i), submit_sized(&batcher, i, 2, &mut places)));
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    assert_eq!(value(first), Ok(1.0));
    for (expected, answer) in narrow.into_iter().chain(wide) {
        assert_eq!(value(answer), Ok(expected));
    }
    assert_eq!(sizes.iter().take(2).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn what_queued_while_the_engine_was_busy_is_one_batch_of_at_most_the_limit() {
    let (batcher, sizes, go) = start(3, 16);
    let mut places = admit(&batcher, 6).unwrap();
    let first = submit(&batcher, 1, &mut places);
    assert_eq!(sizes.recv().unwrap(), 1);
    let others: Vec<_> = (2..=6).map(|i| submit(&batcher, i, &mut places)).collect();
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    assert_eq!(value(first), Ok(1.0));
    for (expected, answer) in [2.0, 3.0, 4.0, 5.0, 6.0].into_iter().zip(others) {
        assert_eq!(value(answer), Ok(expected));
    }
    assert_eq!(sizes.iter().take(2).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn images_whose_client_left_are_not_run_and_their_places_are_free_at_once() {
    let (batcher, sizes, go) = start(8, 3);
    let mut places = admit(&batcher, 3).unwrap();
    let first = submit(&batcher, 1, &mut places);
    assert_eq!(sizes.recv().unwrap(), 1);
    drop(submit(&batcher, 2, &mut places));
    assert!(admit(&batcher, 1).is_ok(), "the engine is still busy");
    let kept = submit(&batcher, 3, &mut places);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(value(first), Ok(1.0));
    assert_eq!(value(kept), Ok(3.0));
    assert_eq!(sizes.recv().unwrap(), 1);
    assert_eq!(count(&batcher, "abandoned_images"), 1);
}

#[test]
fn images_whose_time_is_up_are_not_run() {
    let (batcher, sizes, go) = start(8, 4);
    let mut places = admit(&batcher, 4).unwrap();
    let first = submit(&batcher, 1, &mut places);
    assert_eq!(sizes.recv().unwrap(), 1);
    let allowed = Duration::ZERO;
    let over = Deadline {
        at: Instant::now(),
        allowed,
        set_by: Party::Client,
    };
    let late = submit_until(&batcher, 2, 1, &mut places, over);
    drop(submit_until(&batcher, 3, 1, &mut places, over));
    let kept = submit(&batcher, 4, &mut places);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(value(first), Ok(1.0));
    assert_eq!(value(late), Err(Failure::Expired));
    assert_eq!(value(kept), Ok(4.0));
    assert_eq!(sizes.recv().unwrap(), 1);
    assert_eq!(count(&batcher, "expired_images"), 2);
    assert_eq!(count(&batcher, "abandoned_images"), 0);
}

/// The turn is another model's: what becomes of this one's images meanwhile decides what is run.
#[test]
fn a_batch_is_chosen_when_its_turn_comes() {
    let turns = Turns::default();
    let others = turns.take();
    let (batcher, sizes, go) = start_among(turns.clone(), 4, 16);
    let mut places = admit(&batcher, 5).unwrap();
    let left = submit(&batcher, 1, &mut places);
    let first = submit(&batcher, 2, &mut places);
    let over = Deadline {
        at: Instant::now(),
        allowed: Duration::ZERO,
        set_by: Party::Server,
    };
    let late = submit_until(&batcher, 3, 1, &mut places, over);
    drop(left);
    let came = submit(&batcher, 4, &mut places);
    drop(others);
    go.send(()).unwrap();
    assert_eq!(sizes.recv().unwrap(), 2);
    assert_eq!((value(first), value(came)), (Ok(2.0), Ok(4.0)));
    assert_eq!(value(late), Err(Failure::Expired));
    assert_eq!(count(&batcher, "abandoned_images"), 1);
    assert_eq!(count(&batcher, "expired_images"), 1);
}

#[test]
fn a_turn_that_finds_nobody_left_is_passed_on() {
    let turns = Turns::default();
    let others = turns.take();
    let (batcher, sizes, go) = start_among(turns.clone(), 4, 16);
    let mut places = admit(&batcher, 2).unwrap();
    drop(submit(&batcher, 1, &mut places));
    drop(others);
    drop(turns.take());
    let answer = submit(&batcher, 2, &mut places);
    go.send(()).unwrap();
    assert_eq!(value(answer), Ok(2.0));
    assert_eq!(sizes.recv().unwrap(), 1);
}

#[test]
fn images_that_somebody_waits_for_go_before_bulk() {
    let (batcher, sizes, go) = start(4, 16);
    let mut bulk = batcher.admit(3, Lane::Bulk).unwrap();
    let mut interactive = admit(&batcher, 2).unwrap();
    let first = submit(&batcher, 1, &mut bulk);
    assert_eq!(sizes.recv().unwrap(), 1);
    let later = [2, 3].map(|i| (f32::from(i), submit(&batcher, i, &mut bulk)));
    let sooner = [4, 5].map(|i| (f32::from(i), submit(&batcher, i, &mut interactive)));
    go.send(()).unwrap();
    assert_eq!(value(first), Ok(1.0));
    // Nothing but the interactive lane is let through: an answer from the other would never come.
    assert_eq!(sizes.recv().unwrap(), 2);
    go.send(()).unwrap();
    for (expected, answer) in sooner {
        assert_eq!(value(answer), Ok(expected));
    }
    go.send(()).unwrap();
    for (expected, answer) in later {
        assert_eq!(value(answer), Ok(expected));
    }
}

#[test]
fn bulk_leaves_places_to_those_who_wait() {
    let (batcher, _sizes, _go) = start(8, 4);
    assert_eq!(batcher.capacity(Lane::Bulk), 3);
    assert!(batcher.admit(4, Lane::Bulk).is_err());
    let held = batcher.admit(3, Lane::Bulk).unwrap();
    assert!(batcher.admit(1, Lane::Bulk).is_err());
    assert!(admit(&batcher, 1).is_ok());
    assert!(admit(&batcher, 2).is_err());
    assert_eq!(count(&batcher, "shed_images"), 4 + 1 + 2);
    drop(held);
    assert!(batcher.admit(3, Lane::Bulk).is_ok());
}

#[test]
fn a_request_is_admitted_whole_or_not_at_all() {
    let (batcher, _sizes, _go) = start(8, 4);
    let held = admit(&batcher, 3).unwrap();
    assert!(admit(&batcher, 2).is_err());
    assert!(admit(&batcher, 1).is_ok());
    drop(held);
    assert!(admit(&batcher, 4).is_ok());
    assert!(admit(&batcher, 5).is_err());
}

#[test]
fn an_image_that_is_answered_has_left_its_place() {
    let (batcher, _sizes, go) = start(1, 2);
    let mut places = admit(&batcher, 2).unwrap();
    let first = submit(&batcher, 1, &mut places);
    let second = submit(&batcher, 2, &mut places);
    assert!(admit(&batcher, 1).is_err());
    go.send(()).unwrap();
    assert_eq!(value(first), Ok(1.0));
    assert!(admit(&batcher, 1).is_ok());
    go.send(()).unwrap();
    assert_eq!(value(second), Ok(2.0));
    assert!(admit(&batcher, 2).is_ok());
}

#[test]
fn a_failed_batch_fails_its_own_images_only() {
    for first in [FAIL, PANIC] {
        let (batcher, _sizes, go) = start(1, 4);
        let mut places = admit(&batcher, 2).unwrap();
        let bad = submit(&batcher, first, &mut places);
        let good = submit(&batcher, 7, &mut places);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(value(bad), Err(Failure::Engine));
        assert_eq!(value(good), Ok(7.0));
        let panics = u64::from(first == PANIC);
        assert_eq!(count(&batcher, "engine_panics"), panics);
        assert_eq!(count(&batcher, "engine_restarts"), panics);
        assert_eq!(count(&batcher, "engine_failures"), 1 - panics);
    }
}

#[test]
fn what_was_taken_is_finished_when_the_batcher_goes() {
    let (batcher, _sizes, go) = start(8, 4);
    let mut places = admit(&batcher, 1).unwrap();
    let answer = submit(&batcher, 9, &mut places);
    go.send(()).unwrap();
    drop(batcher);
    assert_eq!(value(answer), Ok(9.0));
}
