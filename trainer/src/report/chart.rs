//! Curves as drawings. The table says which there are.

use std::fmt::Write as _;

use serde_json::Value;

use super::Curve;

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Plain,
    /// A share of 1, as a percentage.
    Share,
}

/// A drawing: title, what it says, unit, and the numbers by their path and name.
struct Row {
    title: &'static str,
    about: &'static str,
    unit: Unit,
    numbers: &'static [(&'static str, &'static str)],
}

const ROWS: [Row; 9] = [
    Row {
        title: "Loss",
        about: "what is minimised",
        unit: Unit::Plain,
        numbers: &[
            ("/loss", "sum"),
            ("/contrast", "contrast"),
            ("/classification", "classifier"),
        ],
    },
    Row {
        title: "Contrast",
        about: "at chance nothing is learned; at the floor nothing is left to learn",
        unit: Unit::Plain,
        numbers: &[
            ("/contrast", "contrast"),
            ("/chance", "chance"),
            ("/floor", "floor"),
        ],
    },
    Row {
        title: "kNN accuracy",
        about: "labelled images that their nearest neighbours classify; the first point is the untrained network",
        unit: Unit::Share,
        numbers: &[("/knn", "accuracy")],
    },
    Row {
        title: "Feature deviation",
        about: "of vectors of unit length; near 0 the features have collapsed",
        unit: Unit::Plain,
        numbers: &[
            ("/projections/normalized_deviation", "projections"),
            ("/predictions/normalized_deviation", "predictions"),
        ],
    },
    Row {
        title: "Effective rank",
        about: "directions in which the features spread",
        unit: Unit::Plain,
        numbers: &[
            ("/projections/effective_rank", "projections"),
            ("/predictions/effective_rank", "predictions"),
        ],
    },
    Row {
        title: "Learning rate",
        about: "of the step",
        unit: Unit::Plain,
        numbers: &[("/learning_rate", "rate")],
    },
    Row {
        title: "Target decay",
        about: "what the target keeps of itself",
        unit: Unit::Plain,
        numbers: &[("/target_decay", "decay")],
    },
    Row {
        title: "Speed",
        about: "images a second",
        unit: Unit::Plain,
        numbers: &[("/images_per_second", "images/s")],
    },
    Row {
        title: "Waiting",
        about: "share of the step that it waited for its images",
        unit: Unit::Share,
        numbers: &[("/waiting", "waiting")],
    },
];

/// Size of a drawing, and the room for what stands beside the curves: left, right, top, bottom.
const SIZE: [f64; 2] = [460.0, 200.0];
const ROOM: [f64; 4] = [56.0, 10.0, 10.0, 24.0];

/// Every drawing of which the steps say anything, in HTML.
pub(super) fn charts(steps: &[Value]) -> String {
    let last = steps.last().and_then(|step| step["step"].as_f64());
    let end = last.unwrap_or(0.0).max(1.0);
    let charts = ROWS.iter().filter_map(|row| chart(row, steps, end));
    charts.collect()
}

fn chart(row: &Row, steps: &[Value], end: f64) -> Option<String> {
    let curves = row.numbers.iter().filter_map(|&(path, name)| {
        let curve = Curve::of(steps, path)?;
        Some((name, curve))
    });
    let curves: Vec<(&str, Curve)> = curves.collect();
    if curves.is_empty() {
        return None;
    }
    let mut keys = String::new();
    for (number, (name, curve)) in curves.iter().enumerate() {
        let last = row.unit.write(curve.last);
        let _ = write!(
            keys,
            "<li class=\"c{number}\"><span>{name}</span> <b>{last}</b></li>"
        );
    }
    let drawing = drawing(row, &curves, end);
    Some(format!(
        "<section><h2>{}</h2><p>{}</p><ul>{keys}</ul>{drawing}</section>\n",
        row.title, row.about
    ))
}

fn drawing(row: &Row, curves: &[(&str, Curve)], end: f64) -> String {
    let range = curves.iter().map(|curve| curve.1.range());
    let (low, high) = range.fold((f64::INFINITY, f64::NEG_INFINITY), |all, [least, most]| {
        (all.0.min(least), all.1.max(most))
    });
    let ticks = ticks(low, high);
    let (bottom, top) = (ticks[0], ticks[ticks.len() - 1]);
    let [left, right, above, below] = ROOM;
    let x = |step: f64| left + step / end * (SIZE[0] - left - right);
    let y = |value: f64| above + (top - value) / (top - bottom) * (SIZE[1] - above - below);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
        SIZE[0], SIZE[1], row.title
    );
    for tick in &ticks {
        let (y, text) = (y(*tick), row.unit.write(*tick));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            SIZE[0] - right,
            left - 6.0,
            y + 4.0,
        );
    }
    for (step, anchor) in [(0.0, "start"), (end / 2.0, "middle"), (end, "end")] {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{step:.0}</text>",
            x(step),
            SIZE[1] - 6.0,
        );
    }
    for (number, (_, curve)) in curves.iter().enumerate() {
        svg += &drawn(number, curve, |step, value| [x(step), y(value)]);
    }
    svg + "</svg>"
}

/// Curves of so few points show each.
const MARKED: usize = 40;

/// One curve: the band from its least to its most, its means, and their points where they are few.
fn drawn(number: usize, curve: &Curve, place: impl Fn(f64, f64) -> [f64; 2]) -> String {
    let at = |step: f64, value: f64| {
        let [x, y] = place(step, value);
        format!("{x:.1} {y:.1}")
    };
    let points = &curve.points;
    let over = points.iter().map(|point| at(point.step, point.most));
    let under = points.iter().rev().map(|point| at(point.step, point.least));
    let band: Vec<String> = over.chain(under).collect();
    let line = points.iter().map(|point| at(point.step, point.mean));
    let line: Vec<String> = line.collect();
    let mut svg = format!(
        "<path class=\"band c{number}\" d=\"M{}Z\"/><path class=\"line c{number}\" d=\"M{}\"/>",
        band.join("L"),
        line.join("L"),
    );
    if points.len() <= MARKED {
        for point in points {
            let [x, y] = place(point.step, point.mean);
            let _ = write!(
                svg,
                "<circle class=\"c{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
            );
        }
    }
    svg
}

impl Unit {
    /// Three digits or so.
    fn write(self, number: f64) -> String {
        match self {
            Self::Share => format!("{:.1} %", 100.0 * number),
            Self::Plain if number == 0.0 => "0".to_owned(),
            Self::Plain => {
                let digits = 2.0 - number.abs().log10().floor();
                if !(-3.0..=6.0).contains(&digits) {
                    return format!("{number:.1e}");
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 6"
                )]
                let digits = digits.max(0.0) as usize;
                let text = format!("{number:.digits$}");
                match text.split_once('.') {
                    Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    None => text,
                }
            }
        }
    }
}

/// Round numbers that enclose the range, three to seven of them.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = if high > low {
        high - low
    } else {
        low.abs().max(1.0)
    };
    let rough = span / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 2.0);
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last {
        ticks.push(at * step);
        at += 1.0;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        for (low, high) in [
            (0.0, 7.3),
            (2.2, 2.9),
            (-3.0, 4.0),
            (0.996, 1.0),
            (5.0, 5.0),
            (0.0, 0.0),
            (1e-9, 3e6),
        ] {
            let ticks = ticks(low, high);
            assert!((3..=7).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(
                ticks[0] <= low + 1e-9 && ticks[ticks.len() - 1] >= high - 1e-9,
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [
            (0.0, "0"),
            (3.0, "3"),
            (4.51249, "4.51"),
            (0.996_02, "0.996"),
            (1234.6, "1235"),
            (2.5e-7, "2.5e-7"),
        ];
        for (number, text) in numbers {
            assert_eq!(Unit::Plain.write(number), text);
        }
        assert_eq!(Unit::Share.write(0.1234), "12.3 %");
    }
}
