//! Why a source does not fill a spec, with every tensor at fault named.

use crate::arch::ResNetSpec;

/// Why a source does not fill a spec.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Parameters that no source tensor fills, and source tensors that are no parameter.
    #[error("the file does not hold a {spec}: {}", mismatch(missing, surplus))]
    Mismatch {
        /// The network.
        spec: Box<ResNetSpec>,
        /// Every parameter that is missing.
        missing: Vec<String>,
        /// Every source tensor that has no place.
        surplus: Vec<String>,
    },
    /// Everything is there but the batch norms' moving averages.
    #[error(
        "all {count} moving averages of the {spec}'s batch norms are missing: the file holds the parameters only. \
         Give a file that holds the state too, or --fresh-moving-averages to start them at mean 0 and variance 1 \
         (embeddings are then not those of the trained network)"
    )]
    MovingAverages {
        /// The network.
        spec: Box<ResNetSpec>,
        /// How many it has.
        count: usize,
    },
    /// Two source tensors for the same parameter.
    #[error("{first} and {second} are both {name}")]
    Twice {
        /// The parameter.
        name: String,
        /// The source tensor found first.
        first: String,
        /// The source tensor found after it.
        second: String,
    },
    /// A tensor of another shape than the parameter's.
    #[error("{key} has shape {found:?}; {name} needs {expected:?}")]
    Shape {
        /// The source tensor.
        key: String,
        /// The parameter.
        name: String,
        /// The source tensor's shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// A variance of which no root can be taken: every output would be NaN.
    #[error(
        "{key} cannot be variances: channel {channel} has {value}, and a variance is not negative (the batch norm's \
         epsilon of {epsilon} does not make up for it)"
    )]
    Variance {
        /// The tensor.
        key: String,
        /// The first channel at fault.
        channel: usize,
        /// Its variance.
        value: f32,
        /// What the batch norm adds to it.
        epsilon: f64,
    },
    /// A tensor that cannot become float32.
    #[error("{key} cannot be a weight: {detail}")]
    Values {
        /// The source tensor.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

fn mismatch(missing: &[String], surplus: &[String]) -> String {
    let part = |count: usize, what: &str, names: &[String], separator| {
        (count > 0).then(|| format!("{count} {what}: {}", grouped(names, separator)))
    };
    let parts = [
        part(missing.len(), "parameters are missing", missing, '.'),
        part(surplus.len(), "tensors have no place in it", surplus, '/'),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// All names in little room: those of one module after the other as `module.{first, second}`.
fn grouped(names: &[String], separator: char) -> String {
    let module = |name: &str| name.rfind(separator).map_or(0, |end| end + 1);
    let groups = names.chunk_by(|a, b| a[..module(a)] == b[..module(b)]);
    let text = |group: &[String]| match group {
        [only] => only.clone(),
        [first, ..] => {
            let fields: Vec<_> = group.iter().map(|name| &name[module(name)..]).collect();
            format!("{}{{{}}}", &first[..module(first)], fields.join(", "))
        }
        [] => String::new(),
    };
    groups.map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_at_fault_is_in_the_message() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let error = FitError::Mismatch {
            spec: Box::new("tiny".parse().unwrap()),
            missing: names(&["conv1.weight", "bn1.weight", "bn1.bias"]),
            surplus: names(&["decoder/w"]),
        };
        assert_eq!(
            error.to_string(),
            "the file does not hold a tiny: 3 parameters are missing: conv1.weight, bn1.{weight, bias}; \
             1 tensors have no place in it: decoder/w"
        );
    }
}
