//! Inputs of one size and output, together. Which ones are together depends on their order alone, never on who was ready
//! first: an open batch waits until it is full, until its part ends, or until those that came after its first take
//! [`WINDOW`] bytes. So the same input gives the same batches, and a rare shape holds up nothing for long.

use std::collections::BTreeMap;

use detcon_inference::{BatchLimits, InputTensor, Output};

use super::budget::Share;
use super::queue::Queue;
use crate::work::{Ask, Then};

/// Bytes of images after the first of an open batch, by what each takes until its rows are written.
pub(super) const WINDOW: u64 = 64 << 20;

/// An image under way.
#[derive(Debug)]
pub(super) struct Under {
    pub(super) ticket: u64,
    pub(super) id: String,
    pub(super) path: String,
    /// Bytes that it takes until its rows are written.
    pub(super) kept: u64,
    pub(super) share: Share,
}

/// What has become of a ticket before a question.
pub(super) enum Arrival {
    /// It asks.
    Asked(Under, Box<Ask>),
    /// It asks no more, from this question on.
    Gone,
    /// It is the end of a part.
    End,
}

/// Says what has become of a ticket.
pub(super) enum Message {
    /// Before a question.
    Arrived {
        ticket: u64,
        question: usize,
        arrival: Arrival,
    },
    /// So many tickets there are.
    Finish(u64),
}

/// Inputs of one size, for one output.
pub(super) struct Batch {
    pub(super) question: usize,
    pub(super) output: Output,
    pub(super) size: [usize; 2],
    pub(super) asked: Vec<(Under, InputTensor, Then)>,
}

/// Makes batches of what arrives, until every ticket has passed every question.
pub(super) fn run(
    arrivals: &Queue<Message>,
    batches: &Queue<Batch>,
    questions: usize,
    limits: BatchLimits,
) {
    let mut lines: Vec<Line> = (0..questions).map(|it| Line::new(it, limits)).collect();
    let mut tickets = None;
    let passed = |lines: &[Line], tickets| {
        let last = lines.last().map(|line| line.next);
        last.is_some() && last == tickets
    };
    let mut give = |batch| {
        batches.push(batch);
    };
    while !passed(&lines, tickets) {
        match arrivals.pop() {
            Some(Message::Finish(count)) => tickets = Some(count),
            Some(Message::Arrived {
                ticket,
                question,
                arrival: arrival @ Arrival::Asked(..),
            }) => lines[question].arrive(ticket, arrival, &mut give),
            Some(Message::Arrived {
                ticket,
                question,
                arrival,
            }) => {
                for line in &mut lines[question..] {
                    let arrival = match arrival {
                        Arrival::End => Arrival::End,
                        Arrival::Gone | Arrival::Asked(..) => Arrival::Gone,
                    };
                    line.arrive(ticket, arrival, &mut give);
                }
            }
            None => return, // closed
        }
    }
    batches.end();
}

/// Everyone's way to one question, in the order of tickets.
struct Line {
    question: usize,
    limits: BatchLimits,
    next: u64,
    early: BTreeMap<u64, Arrival>,
    open: Vec<Open>,
    /// Bytes of all that have come so far.
    passed: u64,
}

/// A batch that is not full.
struct Open {
    batch: Batch,
    /// Bytes of all that had come before its first.
    begun: u64,
}

impl Line {
    const fn new(question: usize, limits: BatchLimits) -> Self {
        Self {
            question,
            limits,
            next: 0,
            early: BTreeMap::new(),
            open: Vec::new(),
            passed: 0,
        }
    }

    fn arrive(&mut self, ticket: u64, arrival: Arrival, give: &mut impl FnMut(Batch)) {
        self.early.insert(ticket, arrival);
        while let Some(arrival) = self.early.remove(&self.next) {
            self.next += 1;
            match arrival {
                Arrival::Asked(under, ask) => self.take(under, *ask, give),
                Arrival::Gone => {}
                Arrival::End => self.open.drain(..).for_each(|open| give(open.batch)),
            }
        }
    }

    fn take(&mut self, under: Under, ask: Ask, give: &mut impl FnMut(Batch)) {
        let Ask {
            input,
            output,
            then,
        } = ask;
        let size = [input.height, input.width];
        let (begun, kept) = (self.passed, under.kept);
        self.passed += kept;
        let found = self
            .open
            .iter()
            .position(|open| open.batch.size == size && open.batch.output == output);
        let at = found.unwrap_or_else(|| {
            let batch = Batch {
                question: self.question,
                output,
                size,
                asked: Vec::new(),
            };
            self.open.push(Open { batch, begun });
            self.open.len() - 1
        });
        let asked = &mut self.open[at].batch.asked;
        asked.push((under, input, then));
        if asked.len() >= self.limits.images_of(size) {
            give(self.open.remove(at).batch);
        }
        // They stand in the order in which they were begun.
        let late = |open: &Open| self.passed - open.begun > WINDOW;
        let late = self.open.iter().take_while(|open| late(open)).count();
        self.open.drain(..late).for_each(|open| give(open.batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::budget::Budget;

    /// What arrives: the side of an input and what it takes, an end, or nothing.
    type Arrived = Option<(usize, u64)>;

    fn asked(ticket: u64, side: usize, kept: u64) -> Arrival {
        let budget = Budget::new(u64::MAX);
        let under = Under {
            ticket,
            id: String::new(),
            path: String::new(),
            kept,
            share: budget.take(0, 0).unwrap(),
        };
        let input = InputTensor {
            height: side,
            width: side,
            pixels: Vec::new(),
        };
        let ask = Ask {
            input,
            output: Output::Embedding,
            then: Box::new(|_| Err(String::new())),
        };
        Arrival::Asked(under, Box::new(ask))
    }

    /// The batches of what arrives, whose last is an end, in an order of arrival.
    fn batches(arrived: &[Arrived], order: &[usize]) -> Vec<Vec<u64>> {
        let limits = BatchLimits::of(2.try_into().unwrap(), 32);
        let mut line = Line::new(0, limits);
        let mut given = Vec::new();
        let mut give = |batch: Batch| {
            given.push(batch.asked.iter().map(|(under, ..)| under.ticket).collect());
        };
        for &at in order {
            let ticket = at as u64;
            let arrival = match arrived[at] {
                Some((side, kept)) => asked(ticket, side, kept),
                None if at + 1 == arrived.len() => Arrival::End,
                None => Arrival::Gone,
            };
            line.arrive(ticket, arrival, &mut give);
        }
        given
    }

    #[test]
    fn batches_depend_on_the_order_of_tickets_and_not_on_that_of_arrivals() {
        let arrived = [
            Some((32, 1)),
            Some((16, 1)),
            None,
            Some((32, 1)),
            Some((32, 1)),
            None,
        ];
        let expected = [vec![0, 3], vec![1], vec![4]];
        assert_eq!(batches(&arrived, &[0, 1, 2, 3, 4, 5]), expected);
        assert_eq!(batches(&arrived, &[5, 3, 4, 2, 1, 0]), expected);
    }

    #[test]
    fn a_rare_shape_waits_for_no_more_than_a_window() {
        let many = |count| std::iter::repeat_n(Some((32, WINDOW / 4)), count);
        let arrived: Vec<_> = [Some((16, 1))]
            .into_iter()
            .chain(many(6))
            .chain([None])
            .collect();
        let order: Vec<_> = (0..arrived.len()).collect();
        let given = batches(&arrived, &order);
        assert_eq!(given, [vec![1, 2], vec![3, 4], vec![0], vec![5, 6]]);
    }

    #[test]
    fn what_takes_more_than_a_window_waits_for_nothing() {
        let arrived = [Some((32, WINDOW + 1)), Some((32, 1)), None];
        assert_eq!(batches(&arrived, &[0, 1, 2]), [vec![0], vec![1]]);
    }
}
