//! Does to each image of a batch what was drawn for it. An operation runs once for all images that it is drawn for.

use tch::{Kind, Tensor};

use super::ops;
use super::{Augmentation, ColorOp};
use crate::tensor::axis;

/// The augmented images: float32 `[N, 3, H, W]`, RGB in [0, 1], as the ones given.
///
/// # Panics
/// Where there is not one plan for each image.
pub fn apply(images: &Tensor, plans: &[Augmentation]) -> Tensor {
    assert_eq!(
        images.size()[0],
        axis(plans.len()),
        "one plan for each image"
    );
    let mut images = images.shallow_clone();
    let steps = plans
        .iter()
        .map(|plan| plan.colors.len())
        .max()
        .unwrap_or(0);
    for step in 0..steps {
        for op in ColorOp::ALL {
            let chosen = Chosen::of(plans, |plan| {
                let color = plan.colors.get(step).filter(|color| color.0 == op)?;
                Some(color.1)
            });
            images = chosen.replace(&images, |part, parameters| {
                color(op, part, parameters).clamp(0.0, 1.0)
            });
        }
    }
    let grey = Chosen::of(plans, |plan| plan.grayscale.then_some(0.0));
    images = grey.replace(&images, |part, _| ops::grayscale(part));
    images = Chosen::of(plans, |plan| plan.blur).replace(&images, ops::blur);
    images = Chosen::of(plans, |plan| plan.solarize).replace(&images, ops::solarize);
    images.clamp(0.0, 1.0)
}

fn color(op: ColorOp, images: &Tensor, parameters: &Tensor) -> Tensor {
    match op {
        ColorOp::Brightness => ops::brightness(images, parameters),
        ColorOp::Contrast => ops::contrast(images, parameters),
        ColorOp::Saturation => ops::saturation(images, parameters),
        ColorOp::Hue => ops::hue(images, parameters),
    }
}

/// The images that something is drawn for, with its parameter.
struct Chosen {
    places: Vec<i64>,
    parameters: Vec<f64>,
}

impl Chosen {
    fn of(plans: &[Augmentation], parameter: impl Fn(&Augmentation) -> Option<f64>) -> Self {
        let chosen = (0..)
            .zip(plans)
            .filter_map(|(place, plan)| Some((place, parameter(plan)?)));
        let (places, parameters) = chosen.unzip();
        Self { places, parameters }
    }

    /// Puts `change` of the chosen images in their places.
    fn replace(&self, images: &Tensor, change: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        if self.places.is_empty() {
            return images.shallow_clone();
        }
        let device = images.device();
        let parameters = Tensor::from_slice(&self.parameters)
            .to_kind(Kind::Float)
            .to_device(device);
        let places = Tensor::from_slice(&self.places).to_device(device);
        let part = images.index_select(0, &places);
        images.index_copy(0, &places, &change(&part, &parameters))
    }
}
