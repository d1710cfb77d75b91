//! From the input of a request to images: encoded ones, or the network's input.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use detcon_core::arch::{Normalization, STRIDE};
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::binary::elements;
use super::contract::Input;
use crate::http::{Problem, invalid};
use detcon_inference::InputTensor;

/// Longest side of the network's input, in pixels.
const MAX_SIDE: usize = 1024;
/// Largest value of a pixel's channel.
const MAX_LEVEL: f64 = 255.0;
/// How far a value may be from one of the 256 levels of a channel: more than rounding to half precision moves it, less
/// than leaves a doubt which level it is.
const LEVEL_TOLERANCE: f64 = 0.125;
const CHANNELS: usize = 3;

/// The images of a request.
#[derive(Debug)]
pub(super) enum Images {
    /// Files, to be decoded and preprocessed.
    Encoded(Vec<Bytes>),
    /// The network's input, all of one size.
    Tensors(Vec<InputTensor>),
}

impl Images {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Encoded(images) => images.len(),
            Self::Tensors(images) => images.len(),
        }
    }
}

/// A tensor's elements as they were sent.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    /// In row-major order, little-endian.
    Binary(Bytes),
    /// In lists.
    Json(&'a RawValue),
}

/// What an input's shape says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    input: Input,
    images: usize,
    height: usize,
    width: usize,
    order: Order,
}

/// Order of the axes of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `[H, W, 3]`.
    ChannelsLast,
    /// `[3, H, W]`.
    ChannelsFirst,
}

impl Tensor {
    /// Of an input of this shape, which has 1 to `limit` images.
    pub(super) fn new(input: Input, shape: &[usize], limit: usize) -> Result<Self, Problem> {
        let (images, height, width, order) = match (input, shape) {
            (Input::Image, [images] | [images, 1]) => (*images, 1, 1, Order::ChannelsLast),
            (Input::Pixels | Input::Normalized, [images, height, width, CHANNELS]) => {
                (*images, *height, *width, Order::ChannelsLast)
            }
            (Input::Normalized, [images, CHANNELS, height, width]) => {
                (*images, *height, *width, Order::ChannelsFirst)
            }
            (Input::Image | Input::Pixels | Input::Normalized, _) => {
                let expected = match input {
                    Input::Image => "[N, 1]",
                    Input::Pixels => "[N, H, W, 3]",
                    Input::Normalized => "[N, 3, H, W] or [N, H, W, 3]",
                };
                let detail = format!("its shape is {expected}, not {}", shown(shape));
                return Err(invalid(input.name(), detail));
            }
        };
        if images == 0 {
            return Err(invalid(input.name(), "its shape has no images in it"));
        }
        if images > limit {
            return Err(Problem::TooManyImages { limit });
        }
        let sides = STRIDE..=MAX_SIDE;
        let fits = sides.contains(&height) && sides.contains(&width);
        if input != Input::Image && !fits {
            let detail = format!(
                "height and width are {STRIDE} to {MAX_SIDE}, not {height} and {width}: send \
                 larger photographs as files in {}, which are preprocessed",
                Input::Image.name()
            );
            return Err(invalid(input.name(), detail));
        }
        Ok(Self {
            input,
            images,
            height,
            width,
            order,
        })
    }

    /// Elements of an image. Sides are bounded, so it cannot overflow.
    const fn elements_per_image(&self) -> usize {
        match self.input {
            Input::Image => 1,
            Input::Pixels | Input::Normalized => self.height * self.width * CHANNELS,
        }
    }

    /// The network's inputs whose elements `pixel` gives, by their index in the tensor.
    fn divide(
        &self,
        pixel: impl Fn(usize) -> Result<u8, Problem>,
    ) -> Result<Vec<InputTensor>, Problem> {
        let per_image = self.elements_per_image();
        let area = self.height * self.width;
        let from = |index: usize| match self.order {
            Order::ChannelsLast => index,
            Order::ChannelsFirst => index % CHANNELS * area + index / CHANNELS,
        };
        let image = |image: usize| {
            let pixels = (0..per_image).map(|index| pixel(image * per_image + from(index)));
            Ok(InputTensor {
                height: self.height,
                width: self.width,
                pixels: pixels.collect::<Result<_, _>>()?,
            })
        };
        (0..self.images).map(image).collect()
    }
}

/// The images in a tensor's data, which must be as much as its shape says. Normalized ones were as `normalization` says,
/// in red, green and blue.
pub(super) fn images(
    tensor: Tensor,
    data: Data<'_>,
    normalization: Normalization,
) -> Result<Images, Problem> {
    let count = tensor.images * tensor.elements_per_image();
    let name = tensor.input.name();
    match tensor.input {
        Input::Image => encoded(name, count, data).map(Images::Encoded),
        Input::Pixels => {
            let values = match data {
                Data::Binary(bytes) => sized(name, bytes, count)?.to_vec(),
                Data::Json(json) => levels(name, &numbers(name, json, count)?)?,
            };
            tensor
                .divide(|index| Ok(values[index]))
                .map(Images::Tensors)
        }
        Input::Normalized => {
            let values = match data {
                Data::Binary(bytes) => floats(&sized(name, bytes, count * size_of::<f32>())?),
                Data::Json(json) => numbers(name, json, count)?,
            };
            let area = tensor.height * tensor.width;
            let channel = |index: usize| match tensor.order {
                Order::ChannelsLast => index % CHANNELS,
                Order::ChannelsFirst => index / area % CHANNELS,
            };
            let normalization = normalization.in_rgb().of_pixels_over(1.0);
            let pixel = |index: usize| {
                let channel = channel(index);
                let level =
                    values[index] * normalization.std()[channel] + normalization.mean()[channel];
                nearest(level).ok_or_else(|| off_level(name, index, values[index], level))
            };
            tensor.divide(pixel).map(Images::Tensors)
        }
    }
}

fn encoded(name: &str, count: usize, data: Data<'_>) -> Result<Vec<Bytes>, Problem> {
    let json = match data {
        Data::Binary(bytes) => return elements(bytes, name, count),
        Data::Json(json) => json,
    };
    let decode = |(index, text): (usize, String)| {
        let encoded = text
            .rsplit_once(";base64,")
            .map_or(&*text, |(_, data)| data);
        let decoded = STANDARD.decode(encoded).map_err(|error| {
            let detail = format!("it is no base64 ({error}): in JSON, an image is base64");
            invalid(&format!("{name}[{index}]"), detail)
        });
        decoded.map(Bytes::from)
    };
    let texts: Vec<String> = flat(name, json, count)?;
    texts.into_iter().enumerate().map(decode).collect()
}

fn sized(name: &str, bytes: Bytes, expected: usize) -> Result<Bytes, Problem> {
    if bytes.len() == expected {
        Ok(bytes)
    } else {
        let detail = format!(
            "it has {} bytes, and its shape asks for {expected}",
            bytes.len()
        );
        Err(invalid(name, detail))
    }
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    let (values, _) = bytes.as_chunks::<4>();
    let value = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
    values.iter().map(value).collect()
}

/// Whole numbers from 0 to 255.
fn levels(name: &str, values: &[f64]) -> Result<Vec<u8>, Problem> {
    let level = |(index, &value): (usize, &f64)| {
        byte(value.round())
            .filter(|_| value.fract() == 0.0)
            .ok_or_else(|| {
                let detail = format!("element {index} is {value}, no whole number from 0 to 255");
                invalid(name, detail)
            })
    };
    values.iter().enumerate().map(level).collect()
}

/// The byte that a level is near. The network's graph takes levels: what is between two of them would give another
/// embedding than the client means.
fn nearest(level: f64) -> Option<u8> {
    let near = (level - level.round()).abs() <= LEVEL_TOLERANCE;
    byte(level.round()).filter(|_| near)
}

fn off_level(name: &str, index: usize, value: f64, level: f64) -> Problem {
    let detail = format!(
        "element {index} is {value}, which is {level:.2} of 255 before normalization: the network reads pixels of \
         8 bits, so round them to 0 to 255 before (value / 255 - mean) / std, or send them as {}",
        Input::Pixels.name()
    );
    invalid(name, detail)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in the range"
)]
fn byte(level: f64) -> Option<u8> {
    (0.0..=MAX_LEVEL).contains(&level).then_some(level as u8)
}

fn numbers(name: &str, json: &RawValue, count: usize) -> Result<Vec<f64>, Problem> {
    flat(name, json, count)
}

/// An element of JSON data.
trait Element: Sized {
    /// From a number.
    fn number(value: f64) -> Option<Self>;
    /// From a string.
    fn text(value: &str) -> Option<Self>;
}

impl Element for f64 {
    fn number(value: f64) -> Option<Self> {
        Some(value)
    }

    fn text(_: &str) -> Option<Self> {
        None
    }
}

impl Element for String {
    fn number(_: f64) -> Option<Self> {
        None
    }

    fn text(value: &str) -> Option<Self> {
        Some(value.to_owned())
    }
}

/// The elements of lists of lists in order: exactly `count`, and no more are kept.
fn flat<T: Element>(name: &str, json: &RawValue, count: usize) -> Result<Vec<T>, Problem> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(json.get());
    let read = Flat {
        found: &mut found,
        limit: count,
    };
    let wrong = |detail: String| invalid(&format!("{name}.data"), detail);
    read.deserialize(&mut reader)
        .map_err(|error| wrong(error.to_string()))?;
    if found.len() == count {
        Ok(found)
    } else {
        let detail = format!(
            "it has {} elements, and its shape asks for {count}",
            found.len()
        );
        Err(wrong(detail))
    }
}

struct Flat<'a, T> {
    found: &'a mut Vec<T>,
    limit: usize,
}

impl<T: Element> Flat<'_, T> {
    fn push<E: Error>(self, element: Option<T>) -> Result<(), E> {
        let element =
            element.ok_or_else(|| E::custom("an element is of another type than its datatype"))?;
        if self.found.len() == self.limit {
            let detail = format!("it has more than the {} elements of its shape", self.limit);
            return Err(E::custom(detail));
        }
        self.found.push(element);
        Ok(())
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Flat<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of the tensor's elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { found, limit } = self;
        while list
            .next_element_seed(Flat {
                found: &mut *found,
                limit,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(T::number(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels are far smaller")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(T::number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels are far smaller")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(T::number(value as f64))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(T::text(value))
    }
}

/// A shape as errors show it, cut where it is long.
fn shown(shape: &[usize]) -> String {
    format!("{:?}", shape.get(..8).unwrap_or(shape))
}
