//! Numbers over steps, few enough to be drawn.

use serde_json::Value;

/// Points that are drawn of a curve; more are brought together.
const POINTS: usize = 240;

/// Steps that are drawn as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// The middle of the steps.
    pub(super) step: f64,
    pub(super) least: f64,
    pub(super) mean: f64,
    pub(super) most: f64,
}

/// A number over the steps that name it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    pub(super) points: Vec<Point>,
    /// What was said last.
    pub(super) last: f64,
}

impl Curve {
    /// The number under this path (`/projections/mean`), where any step names it.
    pub(super) fn of(steps: &[Value], path: &str) -> Option<Self> {
        let named = steps.iter().filter_map(|step| {
            let number = step.pointer(path)?.as_f64()?;
            Some((step["step"].as_f64()?, number))
        });
        let named: Vec<(f64, f64)> = named.collect();
        let last = named.last()?.1;
        let points = named.chunks(named.len().div_ceil(POINTS)).map(Point::of);
        Some(Self {
            points: points.collect(),
            last,
        })
    }

    /// Least and most of all.
    pub(super) fn range(&self) -> [f64; 2] {
        let least = self.points.iter().map(|point| point.least);
        let most = self.points.iter().map(|point| point.most);
        [
            least.fold(f64::INFINITY, f64::min),
            most.fold(f64::NEG_INFINITY, f64::max),
        ]
    }
}

impl Point {
    fn of(steps: &[(f64, f64)]) -> Self {
        let numbers = || steps.iter().map(|step| step.1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "runs have fewer than 2^52 steps"
        )]
        let count = steps.len() as f64;
        Self {
            step: steps.iter().map(|step| step.0).sum::<f64>() / count,
            least: numbers().fold(f64::INFINITY, f64::min),
            mean: numbers().sum::<f64>() / count,
            most: numbers().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_brought_together_and_keep_their_extremes() {
        let steps: Vec<Value> = (0..1000)
            .map(|step| serde_json::json!({"step": step, "a": {"b": if step == 500 { 9 } else { 1 }}}))
            .collect();
        let curve = Curve::of(&steps, "/a/b").unwrap();
        assert!(curve.points.len() <= POINTS && curve.last.total_cmp(&1.0).is_eq());
        let range = curve.range().map(|number| number.to_string());
        assert_eq!(range, ["1", "9"]);
        assert!((curve.points[0].step - 2.0).abs() < 1e-9);
        assert_eq!(Curve::of(&steps, "/a/c"), None);
    }
}
