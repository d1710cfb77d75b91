//! Segmenting the golden photographs with upstream's settings, on one thread: time an image, and megapixels a second.

use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detcon_core::image::{ImageLimits, decode_stored};
use detcon_core::segment::{Felzenszwalb, Workspace};

fn golden() -> PathBuf {
    std::env::var_os("DETCON_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"),
        PathBuf::from,
    )
}

fn felzenszwalb(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("felzenszwalb");
    let method = Felzenszwalb::new(1000.0, 0.8, 1000).expect("upstream's settings");
    let mut workspace = Workspace::default();
    let mut paths: Vec<_> = std::fs::read_dir(golden().join("images"))
        .expect("the golden photographs")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .collect();
    paths.sort();
    for path in paths {
        let bytes = std::fs::read(&path).expect("a readable photograph");
        let image = decode_stored(&bytes, &ImageLimits::default()).expect("a photograph");
        let pixels = u64::from(image.height()) * u64::from(image.width());
        group.throughput(Throughput::Elements(pixels));
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        group.bench_function(name, |bencher| {
            bencher.iter(|| method.segment(&image, &mut workspace).expect("segments"));
        });
    }
    group.finish();
}

criterion_group!(benches, felzenszwalb);
criterion_main!(benches);
