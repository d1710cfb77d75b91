//! What decoding takes of the heap, counted by the allocator: never more than is said of the format.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use detcon_core::image::{Format, ImageLimits, decode, decoding_memory, stored_size};
use image::{ColorType, ImageFormat};

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work, with the layouts that it is given.
#[expect(unsafe_code, reason = "allocators are unsafe")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(taken, Ordering::Relaxed);
        // SAFETY: as it was asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `alloc` gave it with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sides of the images: large enough that tables of fixed sizes are few beside the pixels.
const SIDES: [u32; 2] = [1500, 1200];
/// Room for those tables.
const TABLES: u64 = 512 << 10;

fn written(format: ImageFormat, color: ColorType) -> Option<Vec<u8>> {
    let [height, width] = SIDES;
    let pixels = (width * height) as usize * usize::from(color.bytes_per_pixel());
    let mut random = 7_u32;
    let samples: Vec<u8> = (0..pixels)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random.to_le_bytes()[3] & 0x1f
        })
        .collect();
    let mut file = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut file, &samples, width, height, color, format).ok()?;
    Some(file.into_inner())
}

/// One test alone in its process: others would be counted too.
#[test]
fn decoding_takes_no_more_than_is_said_of_its_format() {
    let formats = [
        (Format::Jpeg, ImageFormat::Jpeg),
        (Format::Png, ImageFormat::Png),
        (Format::WebP, ImageFormat::WebP),
        (Format::Gif, ImageFormat::Gif),
        (Format::Bmp, ImageFormat::Bmp),
        (Format::Tiff, ImageFormat::Tiff),
    ];
    let colors = [
        ColorType::L8,
        ColorType::Rgb8,
        ColorType::Rgba8,
        ColorType::L16,
        ColorType::Rgb16,
        ColorType::Rgba16,
        ColorType::Rgb32F,
        ColorType::Rgba32F,
    ];
    for (format, writer) in formats {
        let mut seen = 0;
        for color in colors {
            let Some(file) = written(writer, color) else {
                continue; // there is no such file
            };
            let limits = ImageLimits {
                bytes: file.len(),
                ..ImageLimits::default()
            };
            let before = TAKEN.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let decoded = decode(&file, &limits);
            let peak = (PEAK.load(Ordering::Relaxed) - before) as u64;
            if let Ok(decoded) = &decoded {
                assert_eq!([decoded.height(), decoded.width()], SIDES);
                seen += 1;
                let size = stored_size(&file, &limits).unwrap();
                let said = decoding_memory(&file, size);
                println!("{format} {color:?}: {peak} of {said} bytes");
                assert!(
                    peak <= said + TABLES,
                    "{format} {color:?}: {peak} of {said}"
                );
            } else {
                println!("{format} {color:?}: refused, {peak} bytes");
                assert!(peak <= TABLES, "{format} {color:?}: {peak} for nothing");
            }
        }
        assert!(seen > 0, "{format}");
    }
}
