//! Regions and segmentations that cannot be: a 4xx with its type, or a region listed as dropped; the server goes on.

use std::fs;

use detcon_core::image::{ImageLimits, decode};
use detcon_core::segment::SegmentMap;
use detcon_tests::service::{self, Service};
use detcon_tests::{golden, models};
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

const REGIONS: &str = "/v1/regions";
const SEGMENTATIONS: &str = "/v1/segmentations";

struct Setup {
    service: Service,
    client: Client,
    photograph: Vec<u8>,
    /// Height and width of the photograph.
    size: [u32; 2],
    _store: tempfile::TempDir,
}

async fn setup() -> Setup {
    let store = service::store(&[&models::imported("tiny", 0)]);
    let photograph = fs::read(&golden::files("images", &["png"])[0]).unwrap();
    let image = decode(&photograph, &ImageLimits::default()).unwrap();
    Setup {
        service: Service::start(store.path(), &[]).await,
        client: detcon_tests::service::client(),
        photograph,
        size: [image.height(), image.width()],
        _store: store,
    }
}

impl Setup {
    /// The photograph as a part of a form.
    fn form(&self) -> Form {
        Form::new().part("image", Part::bytes(self.photograph.clone()))
    }

    async fn send(&self, path: &str, form: Form) -> (u16, Value) {
        let request = self.client.post(self.service.url(path)).multipart(form);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Checks status, type, and that the sentence says `part`.
    async fn refused(&self, path: &str, form: Form, status: u16, slug: &str, part: &str) {
        let (found, problem) = self.send(path, form).await;
        let kind = format!("urn:detcon:problem:{slug}");
        let expected = (status, kind.as_str());
        let (kind, detail) = (&problem["type"], &problem["detail"]);
        let found = (found, kind.as_str().unwrap_or_default());
        assert_eq!(found, expected, "{problem}");
        assert!(detail.as_str().unwrap().contains(part), "{problem}");
    }
}

/// A label PNG whose right half is region 1.
fn labels(height: u32, width: u32) -> Part {
    let ids = (0..height * width).map(|pixel| u16::from(pixel % width >= width / 2));
    let map = SegmentMap::new(height, width, ids.collect()).unwrap();
    Part::bytes(map.to_png())
}

/// A black picture, as PNG.
fn black(height: u32, width: u32) -> Part {
    let ids = vec![0; height as usize * width as usize];
    Part::bytes(SegmentMap::new(height, width, ids).unwrap().to_png())
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_that_do_not_fit_the_image_or_are_none_are_refused() {
    let setup = setup().await;
    let [height, width] = setup.size;
    let photograph = || Part::bytes(setup.photograph.clone());
    let sizes = format!("is {height}x{} pixels", width + 1);
    for (mask, part) in [
        (labels(height, width + 1), sizes.as_str()),
        (photograph(), "colours are no ids"),
        (Part::bytes(b"no PNG".to_vec()), "no readable PNG"),
        (Part::bytes(Vec::new()), "no readable PNG"),
    ] {
        let form = setup.form().part("mask", mask);
        setup.refused(REGIONS, form, 422, "mask", part).await;
    }
    let form = setup.form().part("mask", labels(height, width));
    let form = form.text("boxes", "[[0,0,9,9]]");
    setup
        .refused(REGIONS, form, 400, "invalid-field", "not several of them")
        .await;
    let form = setup.form().part("mask", labels(height, width));
    let form = form.part("mask", labels(height, width));
    setup
        .refused(REGIONS, form, 400, "invalid-field", "twice")
        .await;
    let form = setup.form().part("mask", labels(height, width));
    assert_eq!(setup.send(REGIONS, form).await.0, 200);
    setup.service.stop().await;
}

/// Upstream's crop leaves out an eighth of the shorter side.
#[tokio::test(flavor = "multi_thread")]
async fn regions_without_a_pixel_in_view_are_listed_as_dropped() {
    let setup = setup().await;
    let [height, width] = setup.size;
    let corner = "[[0,0,4,4]]";
    let empty = json!({"size": [height, width], "counts": [height * width]}).to_string();
    for (field, value) in [("boxes", corner), ("rle", &empty)] {
        let form = setup.form().text(field, value.to_owned());
        let (status, found) = setup.send(REGIONS, form).await;
        assert_eq!(status, 200, "{found}");
        assert_eq!(
            (&found["regions"], &found["dropped"]),
            (&json!([]), &json!([0]))
        );
    }
    let ids = (0..height * width).map(|pixel| if pixel == 0 { 9 } else { 4 });
    let map = SegmentMap::new(height, width, ids.collect()).unwrap();
    let form = setup.form().part("mask", Part::bytes(map.to_png()));
    let (_, found) = setup.send(REGIONS, form).await;
    assert_eq!(
        (&found["regions"][0]["id"], &found["dropped"]),
        (&json!(4), &json!([9]))
    );
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_out_of_range_are_refused_by_name() {
    let setup = setup().await;
    for path in [REGIONS, SEGMENTATIONS] {
        for (method, field, value) in [
            ("felzenszwalb", "scale", "0"),
            ("felzenszwalb", "scale", "-5"),
            ("felzenszwalb", "scale", "NaN"),
            ("felzenszwalb", "scale", "inf"),
            ("felzenszwalb", "sigma", "-0.1"),
            ("felzenszwalb", "sigma", "1e9"),
            ("felzenszwalb", "min_size", "-1"),
            ("grid", "rows", "0"),
            ("grid", "columns", "70000"),
            ("kmeans", "k", "0"),
            ("kmeans", "k", "257"),
            ("kmeans", "size", "31"),
            ("kmeans", "stage", "c6"),
        ] {
            let form = setup.form().text("method", method).text(field, value);
            let field = format!("{field}: ");
            setup
                .refused(path, form, 400, "invalid-field", &field)
                .await;
        }
        for (method, field, value, part) in [
            ("kmeans", "k", "200", "200 clusters were asked for"),
            ("grid", "rows", "5000", "5000 rows were asked for"),
        ] {
            let form = setup.form().text("method", method).text(field, value);
            setup.refused(path, form, 422, "segmentation", part).await;
        }
    }
    setup.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_regions_than_are_accepted_and_run_lengths_that_lie_are_refused() {
    let setup = setup().await;
    let [height, width] = setup.size;
    let many = "1025 regions were given, and at most 1024";
    let boxes = |count| serde_json::to_string(&vec![[0.0, 0.0, 300.0, 300.0]; count]).unwrap();
    let rle = |size: [u32; 2], counts: Value| json!({"size": size, "counts": counts});
    let whole = rle([height, width], json!([0, height * width]));
    let sides = [height, width];
    for (field, value, part) in [
        ("boxes", boxes(1025), many),
        ("rle", json!(vec![whole.clone(); 1025]).to_string(), many),
        ("boxes", "[]".to_owned(), "There is no region"),
        ("rle", "[]".to_owned(), "There is no region"),
        (
            "rle",
            rle(sides, json!(vec![1; 100_000])).to_string(),
            "The run lengths add up to",
        ),
        (
            "rle",
            rle(sides, json!([u32::MAX, 1])).to_string(),
            "The run lengths add up to",
        ),
        (
            "rle",
            rle(sides, json!("oooooooooooo")).to_string(),
            "are damaged at character",
        ),
        (
            "rle",
            rle([u32::MAX, 7], json!([0])).to_string(),
            "A mask cannot be",
        ),
        ("rle", rle([7, 5], json!([35])).to_string(), "is 7x5 pixels"),
    ] {
        let form = setup.form().text(field, value);
        setup.refused(REGIONS, form, 422, "mask", part).await;
    }
    for (field, value) in [
        ("boxes", "{"),
        ("rle", "[5]"),
        ("rle", "{}"),
        ("boxes", "[[0,0,9]]"),
    ] {
        let form = setup.form().text(field, value);
        setup
            .refused(REGIONS, form, 400, "invalid-field", field)
            .await;
    }
    let form = setup.form().text("boxes", boxes(1024)).text("view", "full");
    let (status, found) = setup.send(REGIONS, form).await;
    assert_eq!(
        (status, found["regions"].as_array().unwrap().len()),
        (200, 1024)
    );
    setup.service.stop().await;
}

/// An image at the limit is decoded; the graph of its pixels would take 5 GB.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_50_megapixels_is_refused_where_it_would_take_too_much_and_served_elsewhere() {
    let setup = setup().await;
    let image = |height, width| Form::new().part("image", black(height, width));
    for path in [REGIONS, SEGMENTATIONS] {
        // What segmenting would take is known from its header, and more than there is for all segmentations.
        let part = "7350000000 bytes of memory, and there are 3221225472";
        setup
            .refused(path, image(7000, 7000), 413, "work-too-large", part)
            .await;
        setup
            .refused(path, image(7000, 7200), 413, "image-too-large", "50000000")
            .await;
    }
    let form = image(7000, 7000)
        .text("method", "grid")
        .text("view", "full");
    let (status, found) = setup.send(REGIONS, form).await;
    assert_eq!((status, &found["size"]), (200, &json!([7000, 7000])));
    setup.service.stop().await;
}
