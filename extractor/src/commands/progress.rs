//! How far a run is: a bar on a terminal, and lines now and then where there is none.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use detcon_extractor::count::{Counts, Glance};
use detcon_extractor::pipeline::Run;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Time between two looks, and between two lines.
const LOOK: Duration = Duration::from_millis(500);
const LINE: Duration = Duration::from_secs(30);

/// Says how far a run is, on standard error.
pub(super) struct Progress<'a> {
    counts: &'a Counts,
    parts: usize,
    units: u64,
    decoders: usize,
    engines: usize,
    bar: Option<ProgressBar>,
}

/// While it lives, progress is shown.
pub(super) struct Watched {
    _ends: Sender<()>,
}

impl<'a> Progress<'a> {
    /// Of what a run has to do.
    pub(super) fn of(run: &Run<'a>, engines: usize) -> Self {
        let amounts = run
            .todo
            .iter()
            .map(|&part| run.input.amount(part, run.parts.parts));
        let units = amounts.map(|amount| amount.units).sum();
        let style = ProgressStyle::with_template("{wide_bar} {percent} %, {msg}, {eta} left");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr().is_terminal();
        Self {
            counts: run.counts,
            parts: run.todo.len(),
            units,
            decoders: run.settings.decoders.get(),
            engines,
            bar: bar.then(|| ProgressBar::new(units).with_style(style)),
        }
    }

    /// Shows it until what this gives is dropped.
    pub(super) fn watch<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Watched {
        let (ends, ended) = channel();
        scope.spawn(move || self.show(&ended));
        Watched { _ends: ends }
    }

    fn show(&self, ended: &Receiver<()>) {
        let began = Instant::now();
        let mut before = Glance::now(self.counts);
        let mut images = 0;
        let mut said = began;
        // A run of one look's length says nothing but its end.
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            let due = now.duration_since(said) >= LINE;
            if self.bar.is_none() && !due {
                continue;
            }
            let glance = Glance::now(self.counts);
            let waits = before.until(&glance, self.decoders, self.engines);
            let done = self.counts.images.get();
            let rate = rate(done - images, now.duration_since(said));
            (before, images, said) = (glance, done, now);
            let (parts, of, errors) = (
                self.counts.parts.get(),
                self.parts,
                self.counts.errors.get(),
            );
            let told = format!(
                "{done} images, {rate:.1}/s, {parts} of {of} parts, {errors} errors, waits for {}",
                waits.name()
            );
            let units = self.counts.units.get();
            if let Some(bar) = &self.bar {
                bar.set_position(units);
                bar.set_message(told);
            } else {
                let left = left(units, self.units, now.duration_since(began));
                eprintln!("detcon-extract: {told}, {left}");
            }
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate, to be read by people")]
fn rate(images: u64, passed: Duration) -> f64 {
    images as f64 / passed.as_secs_f64()
}

/// The share that is done, and the time that the rest takes at this pace.
#[expect(clippy::cast_precision_loss, reason = "a share, to be read by people")]
fn left(done: u64, of: u64, passed: Duration) -> String {
    let share = done as f64 / of.max(1) as f64;
    if done == 0 {
        return "0 % read".to_owned();
    }
    let left = passed.mul_f64((1.0 - share).max(0.0) / share);
    format!("{:.1} % read, {} left", 100.0 * share, HumanDuration(left))
}
