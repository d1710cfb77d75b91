//! Values that no run could have.

use detcon_core::arch::Padding;

use super::{Recipe, RecipeError, Span};
use crate::augment::ViewSettings;

/// Largest side of a view in pixels.
const MAX_SIDE: u32 = 4096;

impl Recipe {
    /// Refuses values that make no sense.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        let positive = "it must be above 0";
        require(self.batch > 0, "batch", self.batch, positive)?;
        let named = self.arch.0.padding() != Padding::Same;
        require(
            !named,
            "arch",
            self.arch.0,
            "say its padding by the key padding",
        )?;
        let divides = self.parts > 0 && self.batch.is_multiple_of(u64::from(self.parts));
        require(divides, "parts", self.parts, "it must divide batch")?;
        require(
            self.mask_samples > 0,
            "mask_samples",
            self.mask_samples,
            positive,
        )?;
        let sides = (1..=MAX_SIDE).contains(&self.image_size);
        require(sides, "image_size", self.image_size, "it must be 1 to 4096")?;
        for (key, size) in [
            ("heads.hidden", self.heads.hidden),
            ("heads.projection", self.heads.projection),
            ("heads.classes", self.heads.classes),
        ] {
            require(size > 0, key, size, positive)?;
        }
        let temperature = self.loss.temperature;
        require(temperature > 0.0, "loss.temperature", temperature, positive)?;
        let rate = self.base_learning_rate;
        require(
            rate >= 0.0,
            "base_learning_rate",
            rate,
            "it must not be negative",
        )?;
        probability("target_decay", self.target_decay)?;
        for (key, least) in [
            ("collapse.deviation", self.collapse.deviation),
            ("collapse.effective_rank", self.collapse.effective_rank),
        ] {
            require(least >= 0.0, key, least, "it must not be negative")?;
        }
        range("crop.area", self.crop.area, 1.0)?;
        range("crop.aspect", self.crop.aspect, f64::INFINITY)?;
        view(
            [
                "first_view.jitter",
                "first_view.grayscale",
                "first_view.blur",
                "first_view.solarize",
            ],
            &self.first_view,
        )?;
        view(
            [
                "second_view.jitter",
                "second_view.grayscale",
                "second_view.blur",
                "second_view.solarize",
            ],
            &self.second_view,
        )?;
        self.check_spans()
    }

    fn check_spans(&self) -> Result<(), RecipeError> {
        for (key, span) in [("duration", self.duration), ("warmup", self.warmup)] {
            if let Span::Epochs(epochs) = span {
                require(
                    epochs >= 0.0 && epochs.is_finite(),
                    key,
                    epochs,
                    "it must be a length",
                )?;
            }
        }
        let longer = match (self.warmup, self.duration) {
            (Span::Epochs(warmup), Span::Epochs(duration)) => warmup > duration,
            (Span::Steps(warmup), Span::Steps(duration)) => warmup > duration,
            (Span::Epochs(_), Span::Steps(_)) | (Span::Steps(_), Span::Epochs(_)) => false,
        };
        require(
            !longer,
            "warmup",
            format!("{:?}", self.warmup),
            "it must not be longer than duration",
        )
    }
}

fn view(keys: [&'static str; 4], view: &ViewSettings) -> Result<(), RecipeError> {
    let values = [view.jitter, view.grayscale, view.blur, view.solarize];
    for (key, value) in keys.into_iter().zip(values) {
        probability(key, value)?;
    }
    Ok(())
}

fn probability(key: &'static str, value: f64) -> Result<(), RecipeError> {
    require(
        (0.0..=1.0).contains(&value),
        key,
        value,
        "it must be 0 to 1",
    )
}

fn range(key: &'static str, [least, most]: [f64; 2], limit: f64) -> Result<(), RecipeError> {
    let ordered = 0.0 < least && least <= most && most <= limit;
    require(
        ordered,
        key,
        format!("[{least}, {most}]"),
        "it must be [least, most], above 0 (and a share at most 1)",
    )
}

fn require(
    holds: bool,
    key: &'static str,
    value: impl std::fmt::Display,
    reason: &'static str,
) -> Result<(), RecipeError> {
    if holds {
        return Ok(());
    }
    Err(RecipeError::Value {
        key,
        value: format!("{value}"),
        reason,
    })
}
