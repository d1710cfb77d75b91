//! Event files, which `TensorBoard` draws: records of `tensorflow.Event` in TFRecord's frame.
//!
//! Source: TensorFlow's `event.proto` and `summary.proto`; field numbers are the format.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Message, Oneof};

use detcon_data::tfrecord::RecordWriter;

/// What an event file begins with.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.START`: what earlier files say of this step and later ones no longer counts.
const START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// `Summary.Value` with a `simple_value`.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct Events {
    records: RecordWriter<File>,
}

impl Events {
    /// Begins another file in `folder`, whose first step is `next`.
    pub(super) fn open(folder: &Path, next: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // TensorBoard reads the files in the order of their names.
        let number = fs::read_dir(folder)?.count();
        let name = format!("events.out.tfevents.{number:010}.detcon");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join(name))?;
        let mut events = Self {
            records: RecordWriter::new(file),
        };
        events.write(0, What::FileVersion(VERSION.to_owned()))?;
        events.write(next, What::SessionLog(SessionLog { status: START }))?;
        Ok(events)
    }

    /// Writes the numbers of a step by their names.
    pub(super) fn scalars(&mut self, step: u64, scalars: Vec<(String, f64)>) -> io::Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "the format holds 32 bits")]
        let scalar = |(tag, number)| Scalar {
            tag,
            simple_value: number as f32,
        };
        let value = scalars.into_iter().map(scalar).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    fn write(&mut self, step: u64, what: What) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let event = Event {
            wall_time: now.map_or(0.0, |now| now.as_secs_f64()),
            step: i64::try_from(step).unwrap_or(i64::MAX),
            what: Some(what),
        };
        self.records.write(&event.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detcon_data::tfrecord::RecordReader;

    fn events(path: &Path) -> Vec<Event> {
        let records = RecordReader::new(io::BufReader::new(File::open(path).unwrap()));
        let event = |record: Result<detcon_data::tfrecord::Record, _>| {
            Event::decode(record.unwrap().payload).unwrap()
        };
        records.map(event).collect()
    }

    #[test]
    fn each_start_begins_a_file_that_takes_back_what_came_after() {
        let folder = tempfile::tempdir().unwrap();
        for next in [0, 1] {
            let mut file = Events::open(folder.path(), next).unwrap();
            let scalars = vec![
                ("loss".to_owned(), 2.5),
                ("projections/mean".to_owned(), -1.0),
            ];
            file.scalars(next, scalars).unwrap();
        }
        let second = folder.path().join("events.out.tfevents.0000000001.detcon");
        let found = events(&second);
        assert_eq!(
            found[0].what,
            Some(What::FileVersion("brain.Event:2".to_owned()))
        );
        assert_eq!(
            (found[1].step, &found[1].what),
            (1, &Some(What::SessionLog(SessionLog { status: 1 })))
        );
        let Some(What::Summary(summary)) = &found[2].what else {
            panic!("{found:?}")
        };
        let scalars: Vec<_> = summary
            .value
            .iter()
            .map(|it| (it.tag.as_str(), it.simple_value))
            .collect();
        assert_eq!(scalars, [("loss", 2.5), ("projections/mean", -1.0)]);
        assert!(found[2].wall_time > 1.6e9 && found.len() == 3);
    }

    /// Bytes that TensorFlow 2's `Event(wall_time=1, step=7, summary=…)` has, written out by the format's rules.
    #[test]
    fn an_event_has_the_formats_bytes() {
        let value = vec![Scalar {
            tag: "a".to_owned(),
            simple_value: 1.0,
        }];
        let event = Event {
            wall_time: 1.0,
            step: 7,
            what: Some(What::Summary(Summary { value })),
        };
        let expected = [
            &[
                0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 7, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15,
            ][..],
            &1.0_f32.to_le_bytes(),
        ];
        assert_eq!(event.encode_to_vec(), expected.concat());
    }
}
