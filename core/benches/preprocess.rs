//! What an image costs before the network: decoding a JPEG, then the crop and resize, beside a general resizing
//! library doing the same resize in floating point.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use detcon_core::image::{ImageLimits, RgbImage, decode};
use detcon_core::preprocess::{Preprocess, Scratch};
use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Side of the network's input.
const INPUT: u32 = 224;

/// The golden photographs as JPEG files.
fn photographs() -> Vec<PathBuf> {
    let golden = std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        Into::into,
    );
    let entries = std::fs::read_dir(golden.join("images")).expect("golden images");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    paths
}

/// The library: the window as floats, its Catmull-Rom cubic without antialiasing, and back to bytes.
fn by_library(image: &RgbImage, preprocess: Preprocess, library: &mut Resizer, output: &mut [u8]) {
    let window = preprocess.window(image.height(), image.width());
    let (left, samples) = (window.offset_x as usize * 3, window.width as usize * 3);
    let rows = image
        .pixels()
        .chunks_exact(image.width() as usize * 3)
        .skip(window.offset_y as usize);
    let mut bytes = vec![0; samples * window.height as usize * 4];
    for (floats, row) in bytes.chunks_exact_mut(samples * 4).zip(rows) {
        for (float, &sample) in floats.as_chunks_mut().0.iter_mut().zip(&row[left..]) {
            *float = f32::from(sample).to_ne_bytes();
        }
    }
    let source =
        Image::from_vec_u8(window.width, window.height, bytes, PixelType::F32x3).expect("whole");
    let mut scaled = Image::new(INPUT, INPUT, PixelType::F32x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::CatmullRom));
    library
        .resize(&source, &mut scaled, &options)
        .expect("sizes are right");
    for (byte, &value) in output.iter_mut().zip(scaled.buffer().as_chunks::<4>().0) {
        let [rounded, ..] =
            (f32::from_ne_bytes(value).clamp(0.0, 255.0) + 8_388_608.0).to_le_bytes();
        *byte = rounded;
    }
}

fn benches(criterion: &mut Criterion) {
    let preprocess = Preprocess::center_crop(INPUT).expect("a usual size");
    let limits = ImageLimits::default();
    let mut output = vec![0; preprocess.output_len()];
    let (mut scratch, mut resizer) = (Scratch::default(), Resizer::new());
    for path in photographs() {
        let jpeg = std::fs::read(&path).expect("readable");
        let image = decode(&jpeg, &limits).expect("a photograph");
        let name = path.file_stem().expect("a name").to_string_lossy();
        let name = format!("{name} {}x{}", image.width(), image.height());
        criterion.bench_function(&format!("decode, {name}"), |bencher| {
            bencher.iter(|| decode(black_box(&jpeg), &limits).expect("valid"));
        });
        criterion.bench_function(&format!("crop and resize, {name}"), |bencher| {
            bencher.iter(|| preprocess.apply_into(black_box(&image), &mut output, &mut scratch));
        });
        criterion.bench_function(&format!("the same by a library, {name}"), |bencher| {
            bencher.iter(|| by_library(black_box(&image), preprocess, &mut resizer, &mut output));
        });
    }
}

criterion_group! {
    name = preprocessing;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = benches
}
criterion_main!(preprocessing);
