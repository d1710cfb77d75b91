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
    let logs = &report.logs;
    let contrast = logs.projections.map_or_else(String::new, |_| {
        format!(
            ", contrast {} (floor {}, chance {})",
            significant(logs.contrast),
            significant(logs.floor),
            significant(logs.chance)
        )
    });
    format!(
        "loss {}{contrast}, rate {}, {} images/s, {:.0} % waiting{knn}",
        significant(logs.loss),
        significant(logs.learning_rate),
        significant(report.images_per_second),
        100.0 * report.waiting,
    )
}

/// A number with three significant digits: 0.0003 is not 0.000.
fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let rounded = format!("{number:.2e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..=2) => {
            let decimals = usize::try_from(2 - exponent).unwrap_or(0);
            format!("{number:.decimals$}")
        }
        Ok(exponent @ 3..=9) => {
            let unit = 10_f64.powi(exponent - 2);
            format!("{:.0}", (number / unit).round() * unit)
        }
        _ => format!("{digits}e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (number, written) in [
            (0.0003, "0.000300"),
            (3.2, "3.20"),
            (0.999_9, "1.00"),
            (12.345, "12.3"),
            (999.6, "1000"),
            (12_345.0, "12300"),
            (1.5e-7, "1.50e-7"),
            (0.0, "0"),
            (-0.25, "-0.250"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(significant(number), written);
        }
    }
}
