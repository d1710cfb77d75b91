//! Damaged shards: the file and the byte are named, and what can be read is read if that is asked for.

use std::fs;
use std::path::PathBuf;

use detcon_data::shards::{self, OnCorrupt, SampleReader, ShardError, Split};
use detcon_data::tfrecord::{RecordError, RecordReader, RecordWriter};
use tempfile::TempDir;

use crate::program::golden;

/// A copy of upstream's shards, and where each record of the first starts.
fn copied() -> (TempDir, Vec<PathBuf>, Vec<usize>) {
    let copy = tempfile::tempdir().unwrap();
    for path in shards::list(&golden().join("tfrecord"), Split::Train).unwrap() {
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let paths = shards::list(copy.path(), Split::Train).unwrap();
    let bytes = fs::read(&paths[0]).unwrap();
    let offset = |record: Result<_, _>| {
        let record: detcon_data::tfrecord::Record = record.unwrap();
        usize::try_from(record.offset).unwrap()
    };
    let offsets = RecordReader::new(bytes.as_slice()).map(offset).collect();
    (copy, paths, offsets)
}

/// A changed byte in the length, its checksum, the payload and its checksum, each in the second record.
#[test]
fn damage_is_named_by_file_and_byte_or_skipped_and_listed() {
    let (_copy, paths, offsets) = copied();
    let whole = fs::read(&paths[0]).unwrap();
    let all = SampleReader::new(paths.clone(), OnCorrupt::Fail).count();
    for place in [
        offsets[1] + 2,
        offsets[1] + 9,
        offsets[1] + 5000,
        whole.len() - 2,
    ] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&paths[0], damaged).unwrap();

        let read: Vec<_> = SampleReader::new(paths.clone(), OnCorrupt::Fail).collect();
        assert_eq!(read.len(), 2, "it ends at the damage");
        let message = read[1].as_ref().unwrap_err().to_string();
        let file = paths[0].display().to_string();
        assert!(message.contains(&file), "{message}");
        assert!(
            message.contains(&format!("byte {}", offsets[1])),
            "{message}"
        );

        let mut skipping = SampleReader::new(paths.clone(), OnCorrupt::Skip);
        let read = skipping.by_ref().map(Result::unwrap).count();
        assert_eq!((read, skipping.skipped().len()), (all - 1, 1));
        assert!(matches!(skipping.skipped()[0], ShardError::Record { .. }));
    }
}

#[test]
fn a_record_that_is_no_sample_is_named_or_skipped() {
    let (_copy, paths, offsets) = copied();
    let mut writer = RecordWriter::new(fs::read(&paths[0]).unwrap());
    writer.write(b"no example").unwrap();
    let end = fs::read(&paths[0]).unwrap().len();
    fs::write(&paths[0], writer.into_inner()).unwrap();
    let mut reader = SampleReader::new(paths.clone(), OnCorrupt::Skip);
    assert!(reader.by_ref().all(|sample| sample.is_ok()));
    let [ShardError::Sample { offset, .. }] = reader.skipped() else {
        panic!("{:?}", reader.skipped());
    };
    assert_eq!(usize::try_from(*offset), Ok(end));
    let error = SampleReader::new(paths, OnCorrupt::Fail).find_map(Result::err);
    assert!(matches!(error, Some(ShardError::Sample { .. })));
    assert_eq!(offsets[0], 0);
}

#[test]
fn a_file_that_cannot_be_read_is_never_skipped() {
    let missing = PathBuf::from("/nowhere/train-00000-of-00001");
    let read: Vec<_> = SampleReader::new([missing], OnCorrupt::Skip).collect();
    assert!(matches!(read.as_slice(), [Err(ShardError::Open { .. })]));
    let folder = tempfile::tempdir().unwrap();
    let read: Vec<_> = SampleReader::new([folder.path().to_owned()], OnCorrupt::Skip).collect();
    assert!(matches!(
        read.as_slice(),
        [Err(ShardError::Record {
            source: RecordError::Io { .. },
            ..
        })]
    ));
}
