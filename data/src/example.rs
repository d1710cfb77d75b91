//! `tf.train.Example`: named features, as protocol buffers.
//!
//! Source: TensorFlow's `example.proto` and `feature.proto` (field numbers are the format). The map of features is read
//! and written as the list that it is on the wire, so an example that is read and written keeps its bytes.
//! It refuses a feature that is there twice.

use bytes::Bytes;
use prost::Message;

/// One example.
#[derive(Clone, PartialEq, Message)]
pub struct Example {
    #[prost(message, optional, tag = "1")]
    features: Option<Features>,
}

#[derive(Clone, PartialEq, Message)]
struct Features {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Feature>,
}

#[derive(Clone, PartialEq, Message)]
struct Feature {
    #[prost(oneof = "Values", tags = "1, 2, 3")]
    values: Option<Values>,
}

/// The values of a feature.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Values {
    /// Byte strings.
    #[prost(message, tag = "1")]
    Bytes(BytesList),
    /// 32-bit floating point numbers.
    #[prost(message, tag = "2")]
    Floats(FloatList),
    /// 64-bit integers.
    #[prost(message, tag = "3")]
    Integers(Int64List),
}

/// `tf.train.BytesList`.
#[derive(Clone, PartialEq, Message)]
pub struct BytesList {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    value: Vec<Bytes>,
}

/// `tf.train.FloatList`.
#[derive(Clone, PartialEq, Message)]
pub struct FloatList {
    #[prost(float, repeated, tag = "1")]
    value: Vec<f32>,
}

/// `tf.train.Int64List`.
#[derive(Clone, PartialEq, Message)]
pub struct Int64List {
    #[prost(int64, repeated, tag = "1")]
    value: Vec<i64>,
}

/// Why a feature could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// It is not there, or holds nothing.
    #[error("it has no feature {key:?}")]
    Missing {
        /// The feature.
        key: &'static str,
    },
    /// It is there more than once.
    #[error("it has the feature {key:?} more than once")]
    Repeated {
        /// The feature.
        key: &'static str,
    },
    /// It holds something else.
    #[error("its feature {key:?} is not {expected}")]
    Kind {
        /// The feature.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

impl Example {
    /// Reads an example. Byte strings share memory with `payload`.
    pub fn parse(payload: Bytes) -> Result<Self, prost::DecodeError> {
        Self::decode(payload)
    }

    /// The bytes of the example.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Appends a feature that is one byte string.
    #[must_use]
    pub fn with_bytes(self, key: &str, value: impl Into<Bytes>) -> Self {
        let value = vec![value.into()];
        self.with(key, Values::Bytes(BytesList { value }))
    }

    /// Appends a feature that is one integer.
    #[must_use]
    pub fn with_integer(self, key: &str, value: i64) -> Self {
        let value = vec![value];
        self.with(key, Values::Integers(Int64List { value }))
    }

    fn with(mut self, key: &str, values: Values) -> Self {
        let value = Some(Feature {
            values: Some(values),
        });
        let key = key.to_owned();
        let features = self.features.get_or_insert_default();
        features.entries.push(Entry { key, value });
        self
    }

    /// Every feature's key and values, in the order in which they are stored.
    pub fn features(&self) -> impl Iterator<Item = (&str, Option<&Values>)> {
        let entries = self.features.iter().flat_map(|features| &features.entries);
        entries.map(|entry| {
            let values = entry.value.as_ref().and_then(|value| value.values.as_ref());
            (entry.key.as_str(), values)
        })
    }

    /// The one byte string that a feature is.
    pub fn bytes(&self, key: &'static str) -> Result<&Bytes, FeatureError> {
        let expected = "one byte string";
        match self.values(key)? {
            Values::Bytes(BytesList { value }) => match value.as_slice() {
                [bytes] => Ok(bytes),
                [] => Err(FeatureError::Missing { key }),
                _ => Err(FeatureError::Kind { key, expected }),
            },
            Values::Floats(_) | Values::Integers(_) => Err(FeatureError::Kind { key, expected }),
        }
    }

    /// The one integer that a feature is.
    pub fn integer(&self, key: &'static str) -> Result<i64, FeatureError> {
        let expected = "one integer";
        match self.values(key)? {
            Values::Integers(Int64List { value }) => match value.as_slice() {
                [integer] => Ok(*integer),
                [] => Err(FeatureError::Missing { key }),
                _ => Err(FeatureError::Kind { key, expected }),
            },
            Values::Floats(_) | Values::Bytes(_) => Err(FeatureError::Kind { key, expected }),
        }
    }

    fn values(&self, key: &'static str) -> Result<&Values, FeatureError> {
        let mut found = self.features().filter(|(name, _)| *name == key);
        let (_, values) = found.next().ok_or(FeatureError::Missing { key })?;
        if found.next().is_some() {
            return Err(FeatureError::Repeated { key });
        }
        values.ok_or(FeatureError::Missing { key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_feature_of_another_kind_or_twice_or_absent_is_an_error() {
        let example = Example::default()
            .with_integer("a", 1)
            .with_bytes("b", "x")
            .with_bytes("b", "y");
        assert_eq!(example.integer("a"), Ok(1));
        assert!(matches!(
            example.bytes("a"),
            Err(FeatureError::Kind { key: "a", .. })
        ));
        assert_eq!(example.bytes("b"), Err(FeatureError::Repeated { key: "b" }));
        assert_eq!(
            example.integer("c"),
            Err(FeatureError::Missing { key: "c" })
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(example) = Example::parse(bytes.into()) {
                let _ = example.bytes("");
                let _ = example.integer("");
            }
        }
    }
}
