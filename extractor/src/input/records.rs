//! Images in TFRecord shards, with the masks that are stored with them.

use std::sync::Arc;

use detcon_data::sample::Sample;
use detcon_data::tfrecord::{Record, RecordReader};

use super::sample::below;
use super::{Found, Given, Image, Items, Unusable};
use crate::place::{Place, PlaceError, Watched};

/// The images of a shard. A record that is damaged or no sample cannot be used; nor can what follows a damaged length.
pub(super) fn items(place: &Place, folder: &str, name: &str) -> Result<Items, PlaceError> {
    let (stream, failure) = Watched::open(place, name)?;
    let records = RecordReader::new(stream);
    let shard: Arc<str> = below(folder, name).into();
    Ok(Box::new(records.map(move |record| {
        if let Some(failure) = failure.take() {
            return Err(failure);
        }
        Ok(match record {
            Ok(Record { offset, payload }) => {
                let path = format!("{shard}@{offset}");
                match Sample::parse(payload) {
                    Ok(sample) => Ok(found(path, sample)),
                    Err(error) => Err(unusable(path, &error)),
                }
            }
            Err(error) => Err(unusable(shard.to_string(), &error)),
        })
    })))
}

/// Names of files need not tell images of several classes apart, so an id is the place of the record.
fn found(path: String, sample: Sample) -> Found {
    let Sample {
        image,
        label,
        mask,
        origin,
        ..
    } = sample;
    let synset = String::from_utf8_lossy(&origin.synset).into_owned();
    let label = label.map(|label| label.to_string());
    Found {
        id: path.clone(),
        path,
        label: if synset.is_empty() {
            label
        } else {
            Some(synset)
        },
        json: None,
        image: Image::Here(image),
        mask: Some(Given::Map(mask)),
    }
}

fn unusable(path: String, error: &dyn std::error::Error) -> Unusable {
    Unusable {
        id: None,
        path,
        reason: format!("The shard is damaged: {error}."),
    }
}
