//! The heads of the objective: the projector, in DetCon-B the predictor, and the classifier that only observes.
//!
//! Source: `MLP` of the published `utils/networks.py`: linear, batch norm, ReLU, linear without bias.

use detcon_core::arch::{BATCH_NORM_EPSILON, BatchNormField};
use tch::Tensor;

use super::layers::Pass;
use super::table::{Role, Row};

/// The projector's name in a checkpoint.
pub(super) const PROJECTOR: &str = "projector";
/// The predictor's.
pub(super) const PREDICTOR: &str = "predictor";
/// The classifier's.
pub(super) const CLASSIFIER: &str = "classifier";

/// Whether projections are predicted from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// A predictor follows the projector: DetCon-B.
    Present,
    /// Projections are compared as they are: DetCon-S.
    Absent,
}

/// Sizes of the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpec {
    /// Width of the hidden layers (upstream: 4096).
    pub hidden: usize,
    /// Length of a projection (upstream: 256).
    pub projection: usize,
    /// Classes of the classifier (upstream: ImageNet's 1000).
    pub classes: usize,
    /// Whether there is a predictor.
    pub predictor: Predictor,
}

impl HeadSpec {
    /// The tensors of the heads of a backbone with embeddings of `inputs` values.
    pub(super) fn rows(&self, inputs: usize) -> Vec<Row> {
        let mut rows = mlp(PROJECTOR, [inputs, self.hidden, self.projection]);
        match self.predictor {
            Predictor::Present => {
                rows.extend(mlp(
                    PREDICTOR,
                    [self.projection, self.hidden, self.projection],
                ));
            }
            Predictor::Absent => {}
        }
        rows.push(matrix(CLASSIFIER, inputs, self.classes));
        rows.push(bias(CLASSIFIER, self.classes));
        rows
    }
}

fn matrix(module: &str, inputs: usize, outputs: usize) -> Row {
    Row {
        name: format!("{module}.weight"),
        shape: vec![outputs, inputs],
        role: Role::Weight { fan_in: inputs },
    }
}

fn bias(module: &str, outputs: usize) -> Row {
    Row {
        name: format!("{module}.bias"),
        shape: vec![outputs],
        role: Role::Bias,
    }
}

fn mlp(head: &str, [inputs, hidden, outputs]: [usize; 3]) -> Vec<Row> {
    let linear = format!("{head}.linear");
    let mut rows = vec![
        matrix(&linear, inputs, hidden),
        bias(&linear, hidden),
        matrix(&format!("{head}.linear_1"), hidden, outputs),
    ];
    rows.extend(BatchNormField::ALL.map(|field| Row {
        name: format!("{head}.batch_norm.{}", field.torch_name()),
        shape: vec![hidden],
        role: match field {
            BatchNormField::Scale => Role::Scale,
            BatchNormField::Offset => Role::Offset,
            BatchNormField::Mean | BatchNormField::Variance => Role::Average,
        },
    }));
    rows
}

/// Whether a weight serves the contrast alone: the projector's and the predictor's.
pub(crate) fn serves_contrast(name: &str) -> bool {
    [PROJECTOR, PREDICTOR].iter().any(|head| {
        name.strip_prefix(head)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

impl Pass<'_> {
    /// Projections of pooled features: `[…, C]` → `[…, projection]`.
    pub fn project(&mut self, pooled: &Tensor) -> Tensor {
        self.mlp(PROJECTOR, pooled)
    }

    /// Predictions of projections, of the same shape.
    ///
    /// # Panics
    /// Where the network has no predictor.
    pub fn predict(&mut self, projections: &Tensor) -> Tensor {
        self.mlp(PREDICTOR, projections)
    }

    /// Logits of the classes: `[N, C]` → `[N, classes]`.
    pub fn classify(&self, embeddings: &Tensor) -> Tensor {
        self.linear(CLASSIFIER, embeddings)
    }

    fn mlp(&mut self, head: &str, inputs: &Tensor) -> Tensor {
        let mut shape = inputs.size();
        let width = shape.pop().expect("vectors have a length");
        let hidden = self.linear(&format!("{head}.linear"), &inputs.reshape([-1, width]));
        let norm = format!("{head}.batch_norm");
        let hidden = self.batch_norm_with(&norm, &hidden, BATCH_NORM_EPSILON);
        let outputs = hidden
            .relu()
            .matmul(&self.weight(&format!("{head}.linear_1.weight")).tr());
        shape.push(outputs.size()[1]);
        outputs.reshape(shape)
    }

    fn linear(&self, module: &str, inputs: &Tensor) -> Tensor {
        inputs.linear(
            self.weight(&format!("{module}.weight")),
            Some(self.weight(&format!("{module}.bias"))),
        )
    }
}
