//! Operations on colours. Images are float32 `[N, 3, H, W]`, RGB in [0, 1]; parameters are one for each image, `[N]`.

use tch::{Kind, Tensor};

/// Weights of red, green and blue in grey, as TensorFlow's.
pub(super) const GREY: [f32; 3] = [0.2989, 0.587, 0.114];
/// An image's side over its blur's kernel (BYOL's `blur_divider`).
const BLUR_DIVIDER: f64 = 10.0;

/// One parameter for each image, to stand beside pixels.
fn beside_pixels(parameters: &Tensor) -> Tensor {
    parameters.view([-1, 1, 1, 1])
}

/// Adds `delta` (`[N]`).
pub fn brightness(images: &Tensor, delta: &Tensor) -> Tensor {
    images + beside_pixels(delta)
}

/// Scales the distance from each channel's mean by `factor` (`[N]`).
pub fn contrast(images: &Tensor, factor: &Tensor) -> Tensor {
    let mean = images.mean_dim([2, 3].as_slice(), true, Kind::Float);
    (images - &mean) * beside_pixels(factor) + mean
}

/// Scales the saturation (of hue, saturation, value) by `factor` (`[N]`), up to 1.
pub fn saturation(images: &Tensor, factor: &Tensor) -> Tensor {
    let [hue, saturation, value] = hsv(images);
    let saturation = (saturation * factor.view([-1, 1, 1])).clamp(0.0, 1.0);
    rgb(&hue, &saturation, &value)
}

/// Turns the hue by `delta` (`[N]`) of a circle.
pub fn hue(images: &Tensor, delta: &Tensor) -> Tensor {
    let [hue, saturation, value] = hsv(images);
    let turned = hue + delta.view([-1, 1, 1]);
    rgb(&(&turned - turned.floor()), &saturation, &value)
}

/// Makes all channels the grey of the three.
pub fn grayscale(images: &Tensor) -> Tensor {
    let weights = Tensor::from_slice(&GREY)
        .to_device(images.device())
        .view([1, 3, 1, 1]);
    let grey = (images * weights).sum_dim_intlist([1].as_slice(), true, Kind::Float);
    grey.expand_as(images)
}

/// Inverts what is not below `threshold` (`[N]`).
pub fn solarize(images: &Tensor, threshold: &Tensor) -> Tensor {
    images.where_self(
        &images.lt_tensor(&beside_pixels(threshold)),
        &(1.0 - images),
    )
}

/// Convolves with a Gaussian of `sigma` (`[N]`, in pixels), cut where the kernel ends; beyond the edge is black.
///
/// The kernel is a tenth of the image's width, made odd: 23 pixels at 224, 9 at 96.
///
/// # Panics
/// Where the images have not four axes.
pub fn blur(images: &Tensor, sigma: &Tensor) -> Tensor {
    let (n, channels, height, width) = images.size4().expect("images have four axes");
    let radius = kernel_radius(width);
    let x = Tensor::arange_start(-radius, radius + 1, (Kind::Float, images.device()));
    let weights = (-x.square().view([1, -1]) / (sigma.square() * 2.0).view([-1, 1])).exp();
    let weights = &weights / weights.sum_dim_intlist([1].as_slice(), true, Kind::Float);
    // One group for each channel of each image, since each image has a kernel of its own.
    let groups = n * channels;
    let side = 2 * radius + 1;
    let kernels = weights
        .repeat_interleave_self_int(channels, Some(0), Some(groups))
        .view([groups, 1, side, 1]);
    let flat = images.reshape([1, groups, height, width]);
    let none = None::<Tensor>;
    let columns = flat.conv2d(&kernels, none, [1, 1], [radius, 0], [1, 1], groups);
    let none = None::<Tensor>;
    let rows = kernels.transpose(2, 3);
    let blurred = columns.conv2d(&rows, none, [1, 1], [0, radius], [1, 1], groups);
    blurred.view([n, channels, height, width])
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "an image's width is a small number"
)]
pub(super) fn kernel_radius(width: i64) -> i64 {
    (width as f64 / BLUR_DIVIDER / 2.0).floor() as i64
}

/// Hue, saturation and value, each in [0, 1], `[N, H, W]`.
fn hsv(images: &Tensor) -> [Tensor; 3] {
    let [red, green, blue] = channels(images);
    let value = images.amax([1].as_slice(), false);
    let range = &value - images.amin([1].as_slice(), false);
    let flat = range.le(0.0);
    let divisor = range.where_self(&flat.logical_not(), &range.ones_like());
    let saturation = (&range / value.where_self(&value.gt(0.0), &value.ones_like()))
        .where_self(&value.gt(0.0), &value.zeros_like());
    let third = |one: &Tensor, other: &Tensor, place: f64| (one - other) / &divisor + place;
    // Red wins over green, and green over blue, where they are equal.
    let sixths = third(&green, &blue, 0.0).where_self(
        &red.eq_tensor(&value),
        &third(&blue, &red, 2.0).where_self(&green.eq_tensor(&value), &third(&red, &green, 4.0)),
    );
    let hue = sixths / 6.0;
    let hue = &hue - hue.floor();
    [
        hue.where_self(&flat.logical_not(), &hue.zeros_like()),
        saturation,
        value,
    ]
}

/// Back to RGB: `[N, H, W]` each → `[N, 3, H, W]`.
fn rgb(hue: &Tensor, saturation: &Tensor, value: &Tensor) -> Tensor {
    let chroma = value * saturation;
    let channel = |place: f64| {
        // 1 within a sixth of the channel's own hue, falling to 0 at a third.
        let turn = hue * 6.0 + place;
        let turn = &turn - (&turn / 6.0).floor() * 6.0;
        let away = turn.minimum(&(4.0 - &turn)).clamp(0.0, 1.0);
        value - &chroma * away
    };
    Tensor::stack(&[channel(5.0), channel(3.0), channel(1.0)], 1)
}

fn channels(images: &Tensor) -> [Tensor; 3] {
    [0, 1, 2].map(|channel| images.select(1, channel))
}
