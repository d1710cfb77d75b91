//! What each thread does with what comes to it.

use std::sync::Arc;

use bytes::Bytes;
use detcon_core::checkpoint::Tensor;
use detcon_inference::Engine;

use super::batcher::{self, Arrival, Batch, Message, Under};
use super::budget::{Budget, Share};
use super::queue::{Queue, Sequence};
use super::{Run, RunError};
use crate::input::{Found, Image, Unusable};
use crate::output::Finished;
use crate::work::{About, Next, Then, Value};

/// The queues between threads, from the first to the last.
pub(super) struct Stages<'a> {
    pub(super) run: &'a Run<'a>,
    /// Images that are still to be read.
    pub(super) files: Queue<(u64, Found)>,
    /// Encoded images.
    pub(super) images: Sequence<Job>,
    /// Memory for those that are decoded.
    pub(super) budget: Arc<Budget>,
    /// What asks the network.
    pub(super) arrivals: Queue<Message>,
    /// What it is asked at once.
    pub(super) batches: Queue<Batch>,
    /// What it answers.
    pub(super) answers: Queue<Answer>,
    /// What became of each image.
    pub(super) outcomes: Sequence<Outcome>,
    /// Parts that are written and not published.
    pub(super) finished: Queue<Finished>,
}

/// What a ticket stands for.
pub(super) enum Job {
    /// An encoded image.
    Image(Found, Bytes),
    /// Something that is none.
    Unusable(Unusable),
    /// The end of a part.
    End,
}

/// An answer of the network's, and who asked.
pub(super) struct Answer {
    under: Under,
    question: usize,
    then: Then,
    tensor: Tensor,
}

/// What became of an image.
pub(super) enum Outcome {
    /// Its rows.
    Rows(About, Vec<Value>, Share),
    /// It could not be used.
    Unusable(Unusable),
    /// The end of a part.
    End,
}

impl Stages<'_> {
    /// Hands out tickets for the images of every part.
    pub(super) fn feed(&self) -> Result<(), RunError> {
        let mut ticket = 0;
        for &part in self.run.todo {
            let mut counted = 0;
            let amount = self.run.input.amount(part, self.run.parts.count());
            for item in self.run.input.items(part, self.run.parts.count())? {
                if !self.images.room(ticket) {
                    return Ok(());
                }
                let weight = match item? {
                    Ok(found) => self.bring(ticket, found),
                    Err(unusable) => {
                        self.images.push(ticket, 0, Job::Unusable(unusable));
                        0
                    }
                };
                let weight = if amount.images.is_some() { 1 } else { weight };
                let weight = weight.min(amount.units - counted);
                counted += weight;
                self.run.counts.units.add(weight);
                ticket += 1;
            }
            self.run.counts.units.add(amount.units - counted);
            self.images.push(ticket, 0, Job::End);
            ticket += 1;
        }
        self.files.end();
        self.images.end(ticket);
        self.outcomes.end(ticket);
        self.arrivals.push(Message::Finish(ticket));
        Ok(())
    }

    /// Brings an image, or has it read; says how many bytes of it are here.
    fn bring(&self, ticket: u64, found: Found) -> u64 {
        match &found.image {
            Image::Here(bytes) => {
                let (bytes, length) = (bytes.clone(), bytes.len() as u64);
                self.run.counts.bytes.add(length);
                self.images.push(ticket, length, Job::Image(found, bytes));
                length
            }
            Image::At { .. } => {
                self.files.push((ticket, found));
                0
            }
        }
    }

    /// Reads images in files of their own.
    pub(super) fn read(&self) -> Result<(), RunError> {
        let limit = self.run.task.limits.bytes as u64;
        while let Some((ticket, found)) = self.files.pop() {
            let Image::At { place, name } = &found.image else {
                continue; // those in memory are not sent here
            };
            match place.read(name, limit) {
                Ok(bytes) => {
                    let length = bytes.len() as u64;
                    self.run.counts.bytes.add(length);
                    self.images.push(ticket, length, Job::Image(found, bytes));
                }
                Err(error) if error.is_of_one_file() => {
                    let unusable = Unusable {
                        id: Some(found.id),
                        path: found.path,
                        reason: format!("It could not be read: {error}."),
                    };
                    self.images.push(ticket, 0, Job::Unusable(unusable));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Decodes images, and segments them.
    pub(super) fn decode(&self) {
        let counts = self.run.counts;
        while let Some((ticket, job)) = counts.for_reading.time(|| self.images.pop()) {
            let (found, bytes) = match job {
                Job::Image(found, bytes) => (found, bytes),
                Job::Unusable(unusable) => {
                    self.budget.take(ticket, 0);
                    self.unusable(ticket, 0, unusable);
                    continue;
                }
                Job::End => {
                    self.budget.take(ticket, 0);
                    self.arrive(ticket, 0, Arrival::End);
                    self.outcomes.push(ticket, 0, Outcome::End);
                    continue;
                }
            };
            self.begin(ticket, found, &bytes);
        }
    }

    fn begin(&self, ticket: u64, found: Found, bytes: &Bytes) {
        let task = &self.run.task;
        let need = match task.need(bytes) {
            Ok(need) => need,
            Err(reason) => {
                self.budget.take(ticket, 0);
                let unusable = Unusable {
                    id: Some(found.id),
                    path: found.path,
                    reason,
                };
                return self.unusable(ticket, 0, unusable);
            }
        };
        let room = &self.run.counts.for_room;
        let Some(share) = room.time(|| self.budget.take(ticket, need.during)) else {
            return; // closed
        };
        let mut under = Under {
            ticket,
            id: found.id.clone(),
            path: found.path.clone(),
            kept: need.kept,
            share,
        };
        let next = task.begin(found, bytes);
        under.share.keep(need.kept);
        self.go_on(under, 0, next);
    }

    /// Asks the network, or ends an image's way.
    fn go_on(&self, under: Under, question: usize, next: Result<Next, String>) {
        match next {
            Ok(Next::Ask(ask)) => {
                self.arrive(under.ticket, question, Arrival::Asked(under, ask));
            }
            Ok(Next::Done(about, values)) => {
                self.arrive(under.ticket, question, Arrival::Gone);
                let outcome = Outcome::Rows(about, values, under.share);
                self.outcomes.push(under.ticket, 0, outcome);
            }
            Err(reason) => {
                let unusable = Unusable {
                    id: Some(under.id),
                    path: under.path,
                    reason,
                };
                self.unusable(under.ticket, question, unusable);
            }
        }
    }

    fn unusable(&self, ticket: u64, question: usize, unusable: Unusable) {
        self.arrive(ticket, question, Arrival::Gone);
        self.outcomes.push(ticket, 0, Outcome::Unusable(unusable));
    }

    fn arrive(&self, ticket: u64, question: usize, arrival: Arrival) {
        self.arrivals.push(Message::Arrived {
            ticket,
            question,
            arrival,
        });
    }

    /// Makes batches.
    pub(super) fn batch(&self) {
        let (questions, limits) = (self.run.task.questions(), self.run.settings.batch);
        batcher::run(&self.arrivals, &self.batches, questions, limits);
    }

    /// Asks an engine.
    pub(super) fn compute(&self, engine: &mut Engine) -> Result<(), RunError> {
        let counts = self.run.counts;
        while let Some(batch) = counts.for_inputs.time(|| self.batches.pop()) {
            let Batch {
                question,
                output,
                size,
                asked,
            } = batch;
            let pixels = asked.iter().map(|(_, input, _)| input.pixels.as_slice());
            let input = detcon_inference::Batch::of(size, pixels);
            let answers = counts.computing.time(|| engine.run(&input, output))?;
            for ((under, _, then), tensor) in asked.into_iter().zip(answers) {
                self.answers.push(Answer {
                    under,
                    question,
                    then,
                    tensor,
                });
            }
        }
        Ok(())
    }

    /// Makes rows of answers, or the next question.
    pub(super) fn finish(&self) {
        while let Some(answer) = self.answers.pop() {
            let Answer {
                under,
                question,
                then,
                tensor,
            } = answer;
            self.go_on(under, question + 1, then(tensor));
        }
    }

    /// Writes rows into their parts.
    pub(super) fn write(&self) -> Result<(), RunError> {
        let counts = self.run.counts;
        let mut parts = self.run.todo.iter();
        let mut open = None;
        while let Some((_, outcome)) = self.outcomes.pop() {
            let mut part = match open.take() {
                Some(part) => part,
                None => match parts.next() {
                    Some(&part) => self.run.parts.begin(part)?,
                    None => break,
                },
            };
            match outcome {
                Outcome::Rows(about, values, _share) => {
                    counts.rows.add(values.len() as u64);
                    counts.images.add(1);
                    part.write(&about, values)?;
                }
                Outcome::Unusable(unusable) => {
                    counts.errors.add(1);
                    part.unusable(&unusable)?;
                    self.enough(unusable)?;
                }
                Outcome::End => {
                    self.finished.push(part.finish()?);
                    continue;
                }
            }
            open = Some(part);
        }
        self.finished.end();
        Ok(())
    }

    /// Refuses one image too many that cannot be used.
    fn enough(&self, last: Unusable) -> Result<(), RunError> {
        let (errors, most) = (self.run.counts.errors.get(), self.run.settings.errors);
        if errors <= most {
            return Ok(());
        }
        Err(RunError::TooMany {
            errors,
            most,
            path: last.path,
            reason: last.reason,
        })
    }

    /// Publishes parts.
    pub(super) fn publish(&self) -> Result<(), RunError> {
        while let Some(part) = self.finished.pop() {
            self.run.parts.publish(part)?;
            self.run.counts.parts.add(1);
        }
        Ok(())
    }
}
