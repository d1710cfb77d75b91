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

    /// The network's inputs of these elements.
    fn divide(&self, elements: &[u8]) -> Vec<InputTensor> {
        let area = self.height * self.width;
        let image = |elements: &[u8]| InputTensor {
            height: self.height,
            width: self.width,
            pixels: match self.order {
                Order::ChannelsLast => elements.to_vec(),
                Order::ChannelsFirst => (0..elements.len())
                    .map(|index| elements[index % CHANNELS * area + index / CHANNELS])
                    .collect(),
            },
        };
        let images = elements.chunks_exact(self.elements_per_image());
        images.map(image).collect()
    }

    /// Which channel an element is of.
    const fn channel(&self, index: usize) -> usize {
        match self.order {
            Order::ChannelsLast => index % CHANNELS,
            Order::ChannelsFirst => index / (self.height * self.width) % CHANNELS,
        }
    }
}

/// The images in a tensor's data, which must be as much as its shape says. Normalized ones were as `normalization` says,
/// in red, green and blue. Elements become pixels one by one: what is made of a body is never larger than it.
pub(super) fn images(
    tensor: Tensor,
    data: Data<'_>,
    normalization: Normalization,
) -> Result<Images, Problem> {
    let count = tensor.images * tensor.elements_per_image();
    let name = tensor.input.name();
    let normalization = normalization.in_rgb().of_pixels_over(1.0);
    let level = |index: usize, value: f64| {
        let channel = tensor.channel(index);
        let level = value * normalization.std()[channel] + normalization.mean()[channel];
        nearest(level).ok_or_else(|| off_level(name, index, value, level))
    };
    let elements = match (tensor.input, data) {
        (Input::Image, data) => return encoded(name, count, data).map(Images::Encoded),
        (Input::Pixels, Data::Binary(bytes)) => sized(name, bytes, count)?,
        (Input::Pixels, Data::Json(json)) => {
            pixels(name, json, count, &|index, value| whole(name, index, value))?
        }
        (Input::Normalized, Data::Binary(bytes)) => {
            let bytes = sized(name, bytes, count * size_of::<f32>())?;
            let values = bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes);
            let levels = values
                .enumerate()
                .map(|(index, value)| level(index, value.into()));
            levels.collect::<Result<Vec<u8>, _>>()?.into()
        }
        (Input::Normalized, Data::Json(json)) => pixels(name, json, count, &level)?,
    };
    Ok(Images::Tensors(tensor.divide(&elements)))
}

fn encoded(name: &str, count: usize, data: Data<'_>) -> Result<Vec<Bytes>, Problem> {
    let json = match data {
        Data::Binary(bytes) => return elements(bytes, name, count),
        Data::Json(json) => json,
    };
    let mut images = Vec::new();
    flat(name, json, count, &mut |index, element| {
        let Element::Text(text) = element else {
            return Err(mistyped(name));
        };
        let encoded = text.rsplit_once(";base64,").map_or(text, |(_, data)| data);
        let decoded = STANDARD.decode(encoded).map_err(|error| {
            let detail = format!("it is no base64 ({error}): in JSON, an image is base64");
            invalid(&format!("{name}[{index}]"), detail)
        });
        images.push(Bytes::from(decoded?));
        Ok(())
    })?;
    Ok(images)
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

/// A whole number from 0 to 255.
fn whole(name: &str, index: usize, value: f64) -> Result<u8, Problem> {
    byte(value.round())
        .filter(|_| value.fract() == 0.0)
        .ok_or_else(|| {
            let detail = format!("element {index} is {value}, no whole number from 0 to 255");
            invalid(name, detail)
        })
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

/// The pixels that `pixel` makes of the numbers in lists of lists.
fn pixels(
    name: &str,
    json: &RawValue,
    count: usize,
    pixel: &dyn Fn(usize, f64) -> Result<u8, Problem>,
) -> Result<Bytes, Problem> {
    let mut pixels = Vec::new();
    flat(name, json, count, &mut |index, element| {
        let Element::Number(value) = element else {
            return Err(mistyped(name));
        };
        pixels.push(pixel(index, value)?);
        Ok(())
    })?;
    Ok(pixels.into())
}

fn mistyped(name: &str) -> Problem {
    let detail = "an element is of another type than its datatype";
    invalid(&format!("{name}.data"), detail)
}

/// An element of JSON data.
#[derive(Clone, Copy, Debug)]
enum Element<'a> {
    Number(f64),
    Text(&'a str),
}

/// Takes an element, with its index.
type Take<'a> = &'a mut dyn FnMut(usize, Element<'_>) -> Result<(), Problem>;

/// Gives the elements of lists of lists in order to `take`: exactly `count`, and no more are read.
fn flat(name: &str, json: &RawValue, count: usize, take: Take<'_>) -> Result<(), Problem> {
    let (mut taken, mut refused) = (0, None);
    let mut reader = serde_json::Deserializer::from_str(json.get());
    let read = Flat {
        taken: &mut taken,
        refused: &mut refused,
        limit: count,
        take,
    };
    let wrong = |detail: String| invalid(&format!("{name}.data"), detail);
    let read = read.deserialize(&mut reader);
    if let Some(problem) = refused {
        return Err(problem);
    }
    read.map_err(|error| wrong(error.to_string()))?;
    if taken == count {
        Ok(())
    } else {
        let detail = format!("it has {taken} elements, and its shape asks for {count}");
        Err(wrong(detail))
    }
}

struct Flat<'a> {
    taken: &'a mut usize,
    /// Why an element was not taken.
    refused: &'a mut Option<Problem>,
    limit: usize,
    take: Take<'a>,
}

impl Flat<'_> {
    fn push<E: Error>(self, element: Element<'_>) -> Result<(), E> {
        if *self.taken == self.limit {
            let detail = format!("it has more than the {} elements of its shape", self.limit);
            return Err(E::custom(detail));
        }
        if let Err(problem) = (self.take)(*self.taken, element) {
            *self.refused = Some(problem);
            return Err(E::custom("an element was refused"));
        }
        *self.taken += 1;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Flat<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flat<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of the tensor's elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list
            .next_element_seed(Flat {
                taken: &mut *self.taken,
                refused: &mut *self.refused,
                limit: self.limit,
                take: &mut *self.take,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Element::Number(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels are far smaller")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(Element::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels are far smaller")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Element::Number(value as f64))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(Element::Text(value))
    }
}

/// A shape as errors show it, cut where it is long.
fn shown(shape: &[usize]) -> String {
    format!("{:?}", shape.get(..8).unwrap_or(shape))
}
