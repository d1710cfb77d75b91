//! How far a run is: a bar on a terminal, and lines now and then where there is none.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use detcon_trainer::run::{Run, StepReport};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Time between two lines.
const BETWEEN: Duration = Duration::from_secs(30);

/// Says how far a run is, on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: Option<Lines>,
}

/// Where there is no terminal.
struct Lines {
    begin: Instant,
    said: Option<Instant>,
    first: u64,
    steps: u64,
}

impl Progress {
    /// Of several ranks the first says it for all.
    pub(super) fn of(run: &Run) -> Self {
        if !run.leads() {
            return Self {
                bar: ProgressBar::hidden(),
                lines: None,
            };
        }
        let bar = ProgressBar::new(run.steps()).with_position(run.next_step());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left");
        let lines = (!std::io::stderr().is_terminal()).then(|| Lines {
            begin: Instant::now(),
            said: None,
            first: run.next_step(),
            steps: run.steps(),
        });
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            lines,
        }
    }

    /// After a step.
    pub(super) fn note(&mut self, report: &StepReport) {
        let said = said(report);
        if let Some(lines) = &mut self.lines {
            lines.note(report.step + 1, &said);
        }
        self.bar.set_position(report.step + 1);
        self.bar.set_message(said);
    }

    /// Beside the bar.
    pub(super) fn warn(&self, warning: &str) {
        self.bar.suspend(|| eprintln!("detcon-train: {warning}"));
    }

    /// Leaves the bar as it is.
    pub(super) fn end(&self) {
        self.bar.abandon();
    }
}

impl Lines {
    /// After the first step, the last, and now and then.
    fn note(&mut self, done: u64, said: &str) {
        let now = Instant::now();
        let due = (self.said).is_none_or(|before| now.duration_since(before) >= BETWEEN);
        if !due && done < self.steps {
            return;
        }
        self.said = Some(now);
        #[expect(clippy::cast_precision_loss, reason = "steps are below 2^52")]
        let share = (self.steps - done) as f64 / (done - self.first) as f64;
        let left = now.duration_since(self.begin).mul_f64(share);
        let (steps, left) = (self.steps, HumanDuration(left));
        eprintln!("step {done} of {steps}: {said}, {left} left");
    }
}

fn said(report: &StepReport) -> String {
    let knn = report
        .knn
        .map_or_else(String::new, |share| format!(", kNN {:.1} %", 100.0 * share));
    format!(
        "loss {:.3}, rate {:.3}, {:.1} images/s, {:.0} % waiting{knn}",
        report.logs.loss,
        report.logs.learning_rate,
        report.images_per_second,
        100.0 * report.waiting,
    )
}
