//! How near the embeddings of one graph are to those of another.

use detcon_core::model::MeanAndWorst;

use crate::progress::counting;
use detcon_inference::Graph;

use super::QuantizeError;
use super::calibrate::run;
use super::photographs::Photograph;

/// The embedding of each photograph.
pub(super) fn embeddings(
    session: &mut Graph,
    photographs: &[Photograph],
) -> Result<Vec<Vec<f32>>, QuantizeError> {
    let names = ["embedding".to_owned()];
    let mut embeddings = Vec::with_capacity(photographs.len());
    let bar = counting("measuring", photographs.len());
    for photograph in photographs {
        embeddings.extend(run(session, photograph, &names)?);
        bar.advance();
    }
    Ok(embeddings)
}

/// The mean of embeddings.
pub(super) fn centre<'a>(embeddings: impl IntoIterator<Item = &'a Vec<f32>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0);
    for embedding in embeddings {
        sum.resize(embedding.len(), 0.0);
        sum.iter_mut()
            .zip(embedding)
            .for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    sum.iter().map(|sum| sum / f64::from(count)).collect()
}

/// Centred cosines and relative L2 errors over photographs.
pub(super) fn compare(
    found: &[Vec<f32>],
    expected: &[Vec<f32>],
    centre: &[f64],
) -> (MeanAndWorst, MeanAndWorst) {
    let pairs = || found.iter().zip(expected);
    let cosines = pairs().map(|(found, expected)| cosine(found, expected, centre));
    let errors = pairs().map(|(found, expected)| l2_error(found, expected));
    (summary(cosines, f64::min), summary(errors, f64::max))
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 photographs")]
fn summary(
    figures: impl ExactSizeIterator<Item = f64> + Clone,
    worse: fn(f64, f64) -> f64,
) -> MeanAndWorst {
    MeanAndWorst {
        mean: rounded(figures.clone().sum::<f64>() / figures.len() as f64),
        worst: rounded(figures.reduce(worse).unwrap_or(f64::NAN)),
    }
}

/// Six decimals: more are noise, and so few digits survive JSON exactly.
fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

fn cosine(a: &[f32], b: &[f32], centre: &[f64]) -> f64 {
    let less = |values: &[f32]| -> Vec<f64> {
        let pairs = values.iter().zip(centre);
        pairs
            .map(|(&value, mean)| f64::from(value) - mean)
            .collect()
    };
    let (a, b) = (less(a), less(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

fn l2_error(found: &[f32], expected: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let pairs = found.iter().zip(expected);
    let difference = squares(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    (difference / squares(&mut expected.iter().map(|&b| f64::from(b)))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_taken_around_the_centre() {
        let centre = centre(&[vec![9.0, 10.0], vec![11.0, 10.0]]);
        assert_eq!(centre, [10.0, 10.0]);
        let cosine = |a: [f32; 2], b: [f32; 2]| cosine(&a, &b, &centre);
        assert!((cosine([11.0, 10.0], [12.0, 10.0]) - 1.0).abs() < 1e-12);
        assert!(cosine([11.0, 10.0], [10.0, 11.0]).abs() < 1e-12);
    }

    #[test]
    fn the_worst_cosine_is_the_least_and_the_worst_error_the_greatest() {
        let expected = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let found = [vec![1.0, 0.0], vec![1.0, 1.0]];
        let (cosine, error) = compare(&found, &expected, &[0.0, 0.0]);
        assert!((cosine.worst - 0.5_f64.sqrt()).abs() < 1e-6);
        assert!((error.worst - 1.0).abs() < 1e-6 && (error.mean - 0.5).abs() < 1e-6);
    }
}
