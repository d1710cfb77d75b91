//! Data sets of the golden photographs and of the fixtures of the decoders, in every form that is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields};
use detcon_core::image::{ImageLimits, decode_stored};
use detcon_core::segment::{Grid, SegmentMap};
use detcon_data::sample::{Origin, Sample};
use detcon_data::tfrecord::RecordWriter;
use detcon_tests::golden;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

/// An image by name.
pub(crate) type Named = (String, Vec<u8>);

/// The golden photographs, and some of the files that decoders are tested on: turned by EXIF, grey, transparent.
pub(crate) fn images() -> Vec<Named> {
    let fixtures = golden::workspace().join("core/tests/fixtures");
    let mut paths = golden::files("images", &["jpg"]);
    let usual = [
        "exif_6.jpg",
        "alpha.png",
        "baseline_420.jpg",
        "animated.gif",
    ];
    paths.extend(usual.map(|name| fixtures.join(name)));
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    let mut images: Vec<_> = paths.into_iter().map(read).collect();
    images.sort();
    images
}

/// Small pictures, no two alike.
pub(crate) fn pictures(count: u32) -> Vec<Named> {
    let picture = |number: u32| {
        let (width, height) = (40 + number % 3 * 8, 40 + number % 2 * 24);
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            let wave = |step: u32| u8::try_from((x * step + y * 3 + number * 11) % 251).unwrap();
            image::Rgb([wave(1), wave(2), wave(5)])
        });
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        (format!("{number:05}.png"), png.into_inner())
    };
    (0..count).map(picture).collect()
}

/// A folder of files, made with the folders that their names lead to.
pub(crate) fn folder(files: &[Named]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// A tar archive of files.
pub(crate) fn tar(files: &[Named]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

/// A Parquet file of columns, in groups of rows so small that there are several, compressed as Hugging Face's are.
pub(crate) fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(3))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Names, bytes and numbers of images as columns.
pub(crate) fn columns(images: &[Named]) -> [ArrayRef; 3] {
    let names: StringArray = images.iter().map(|(name, _)| Some(name)).collect();
    let bytes: BinaryArray = images.iter().map(|(_, bytes)| Some(bytes)).collect();
    let labels = Int64Array::from_iter_values(0..i64::try_from(images.len()).unwrap());
    [Arc::new(names), Arc::new(bytes), Arc::new(labels)]
}

/// The column that Hugging Face's image data sets have.
pub(crate) fn structure(images: &[Named]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let mut builder = StructBuilder::from_fields(fields, images.len());
    for (name, bytes) in images {
        builder
            .field_builder::<BinaryBuilder>(0)
            .unwrap()
            .append_value(bytes);
        builder
            .field_builder::<StringBuilder>(1)
            .unwrap()
            .append_value(name);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The grid that images in shards have for a mask.
pub(crate) fn mask(bytes: &[u8]) -> SegmentMap {
    let image = decode_stored(bytes, &ImageLimits::default()).unwrap();
    let grid = Grid::new(3.try_into().unwrap(), 2.try_into().unwrap()).unwrap();
    grid.segment(image.height(), image.width()).unwrap()
}

/// A TFRecord shard of images with masks.
pub(crate) fn records(images: &[Named], shard: &Path) {
    let mut writer = RecordWriter::new(fs::File::create(shard).unwrap());
    for (name, bytes) in images {
        let sample = Sample {
            image: bytes.clone().into(),
            label: Some(7),
            mask: mask(bytes),
            further_masks: Vec::new(),
            origin: Origin {
                filename: name.clone().into(),
                synset: "class".into(),
                text: "".into(),
            },
        };
        writer
            .write(&sample.to_example().unwrap().to_bytes())
            .unwrap();
    }
}
