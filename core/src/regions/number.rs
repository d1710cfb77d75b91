//! Numbers of COCO's JSON, as Python reads them: `3.0` and `true` are whole numbers too. It refuses fractions and what is
//! out of range.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Above it floats skip whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number, however it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<T>(pub T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<T>(PhantomData<T>);

        impl<T: TryFrom<u64>> Visitor<'_> for Number<T> {
            type Value = Whole<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number that is not negative")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<T>, E> {
                let fits = T::try_from(number).map(Whole);
                fits.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &"a smaller one"))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Whole<T>, E> {
                self.visit_u64(flag.into())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole<T>, E> {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is whole, not negative and below 2^53"
                )]
                if number.fract() == 0.0 && (0.0..EXACT).contains(&number) {
                    return self.visit_u64(number as u64);
                }
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_any(Number(PhantomData))
    }
}

/// Height and width.
pub(super) fn pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 2], D::Error> {
    let pair = <[Whole<u32>; 2]>::deserialize(deserializer)?;
    Ok(pair.map(|Whole(side)| side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, expected) in [("7", 7), ("7.0", 7), ("7e2", 700), ("0.0", 0), ("true", 1)] {
            let number: Whole<u32> = serde_json::from_str(text).unwrap();
            assert_eq!(number, Whole(expected), "{text}");
        }
        for text in ["7.5", "-1", "-1.0", "1e300", "4294967296", "\"7\"", "null"] {
            assert!(serde_json::from_str::<Whole<u32>>(text).is_err(), "{text}");
        }
    }
}
