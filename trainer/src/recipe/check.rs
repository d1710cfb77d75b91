//! Values that no run could have.

use detcon_core::arch::Padding;

use super::{Method, OptimizerSettings, Recipe, RecipeError, Span};
use crate::augment::ViewSettings;
use crate::learner::TrainingMode;

/// Largest side of a view in pixels.
const MAX_SIDE: u32 = 4096;
/// Most of anything that is counted: sizes of heads, regions of a view, images of a step.
const MAX_COUNT: u64 = 1 << 24;

const POSITIVE: &str = "it must be above 0";
const NOT_NEGATIVE: &str = "it must be 0 or above";
const COUNT: &str = "it must be 1 to 16777216";

impl Recipe {
    /// Refuses values that make no sense.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        self.check_counts()?;
        let unpadded = self.arch.0.padding() == Padding::Same;
        let reason = "say its padding by the key padding";
        require(unpadded, "arch", self.arch.0, reason)?;
        positive("loss.temperature", self.loss.temperature)?;
        not_negative("base_learning_rate", self.base_learning_rate)?;
        probability("target_decay", self.target_decay)?;
        not_negative("collapse.deviation", self.collapse.deviation)?;
        not_negative("collapse.effective_rank", self.collapse.effective_rank)?;
        not_negative("masks.scale", self.masks.scale)?;
        not_negative("masks.sigma", self.masks.sigma)?;
        range("crop.area", self.crop.area, 1.0)?;
        range("crop.aspect", self.crop.aspect, f64::MAX)?;
        self.check_optimizer()?;
        view("first_view", &self.first_view)?;
        view("second_view", &self.second_view)?;
        self.check_spans()?;
        self.check_mode()
    }

    fn check_counts(&self) -> Result<(), RecipeError> {
        let heads = [
            ("heads.hidden", self.heads.hidden),
            ("heads.projection", self.heads.projection),
            ("heads.classes", self.heads.classes),
            ("mask_samples", self.mask_samples),
        ];
        let heads = heads.map(|(key, size)| (key, size as u64));
        for (key, count) in heads.into_iter().chain([("batch", self.batch)]) {
            require((1..=MAX_COUNT).contains(&count), key, count, COUNT)?;
        }
        let divides = self.parts > 0 && self.batch.is_multiple_of(u64::from(self.parts));
        require(divides, "parts", self.parts, "it must divide batch")?;
        let sides = (1..=MAX_SIDE).contains(&self.image_size);
        require(sides, "image_size", self.image_size, "it must be 1 to 4096")
    }

    fn check_optimizer(&self) -> Result<(), RecipeError> {
        let below_1 = |key: &str, value: f64| {
            let holds = (0.0..1.0).contains(&value);
            require(holds, key, value, "it must be 0 or above, and below 1")
        };
        match &self.optimizer {
            OptimizerSettings::Lars(settings) => {
                not_negative("optimizer.lars.weight_decay", settings.weight_decay)?;
                below_1("optimizer.lars.momentum", settings.momentum)?;
                positive("optimizer.lars.eta", settings.eta)
            }
            OptimizerSettings::AdamW(settings) => {
                not_negative("optimizer.adamw.weight_decay", settings.weight_decay)?;
                for beta in settings.betas {
                    below_1("optimizer.adamw.betas", beta)?;
                }
                positive("optimizer.adamw.epsilon", settings.epsilon)
            }
        }
    }

    fn check_spans(&self) -> Result<(), RecipeError> {
        let warmup = match self.warmup {
            Span::Epochs(epochs) => epochs >= 0.0 && epochs.is_finite(),
            Span::Steps(_) => true,
        };
        require(warmup, "warmup", self.warmup, NOT_NEGATIVE)?;
        let duration = match self.duration {
            Span::Epochs(epochs) => epochs > 0.0 && epochs.is_finite(),
            Span::Steps(steps) => steps > 0,
        };
        require(duration, "duration", self.duration, POSITIVE)?;
        let longer = match (self.warmup, self.duration) {
            (Span::Epochs(warmup), Span::Epochs(duration)) => warmup > duration,
            (Span::Steps(warmup), Span::Steps(duration)) => warmup > duration,
            // What an epoch is the data say: `check_on`.
            (Span::Epochs(_), Span::Steps(_)) | (Span::Steps(_), Span::Epochs(_)) => false,
        };
        let reason = "it must not be longer than duration";
        require(!longer, "warmup", self.warmup, reason)
    }

    /// Upstream's code has the further modes for DetCon-B, and only that.
    fn check_mode(&self) -> Result<(), RecipeError> {
        match (self.method, self.training_mode) {
            (Method::DetConB, _) | (Method::DetConS, TrainingMode::SelfSupervised) => Ok(()),
            (Method::DetConS, TrainingMode::Supervised | TrainingMode::Both) => require(
                false,
                "training_mode",
                "not self-supervised",
                "method detcon-s has no other",
            ),
        }
    }
}

fn view(table: &str, view: &ViewSettings) -> Result<(), RecipeError> {
    for (key, value) in [
        ("jitter", view.jitter),
        ("grayscale", view.grayscale),
        ("blur", view.blur),
        ("solarize", view.solarize),
        ("threshold", view.threshold),
    ] {
        probability(&format!("{table}.{key}"), value)?;
    }
    let [brightness, contrast, saturation, hue] = view.strengths;
    let key = format!("{table}.strengths");
    not_negative(&key, brightness)?;
    for factor in [contrast, saturation, hue] {
        probability(&key, factor)?;
    }
    range(&format!("{table}.sigma"), view.sigma, f64::MAX)
}

fn positive(key: &str, value: f64) -> Result<(), RecipeError> {
    require(value > 0.0 && value.is_finite(), key, value, POSITIVE)
}

fn not_negative(key: &str, value: f64) -> Result<(), RecipeError> {
    require(value >= 0.0 && value.is_finite(), key, value, NOT_NEGATIVE)
}

fn probability(key: &str, value: f64) -> Result<(), RecipeError> {
    require(
        (0.0..=1.0).contains(&value),
        key,
        value,
        "it must be 0 to 1",
    )
}

fn range(key: &str, [least, most]: [f64; 2], limit: f64) -> Result<(), RecipeError> {
    let ordered = 0.0 < least && least <= most && most <= limit;
    let reason = "it must be [least, most], above 0 (and a share at most 1)";
    require(ordered, key, format!("[{least}, {most}]"), reason)
}

fn require(
    holds: bool,
    key: &str,
    value: impl std::fmt::Display,
    reason: &'static str,
) -> Result<(), RecipeError> {
    if holds {
        return Ok(());
    }
    Err(RecipeError::Value {
        key: key.to_owned(),
        value: format!("{value}"),
        reason,
    })
}
