//! What costs too much is refused before it is begun, on every route; what is within the limits shares what there is.

use axum::body::Body;
use axum::http::{Request, header};
use detcon_inference::{InferenceError, Part, View};
use serde_json::{Value, json};

use crate::engine::{CostLimits, Memory, Share};
use crate::protect::Protection;
use crate::serve::routes::router;
use crate::testing::{Answer, Behaviour, answer, answers, black, costing, costs, ready};

/// Longest side that a request may ask for.
const SIZE: u32 = View::MAX_SIZE;

/// An engine that must not be asked.
fn unasked() -> Behaviour {
    Box::new(|batch| {
        eprintln!("an engine computes {:?}", batch.shape);
        Err(InferenceError::NotOpen { output: "any" })
    })
}

fn post(uri: &str, image: Vec<u8>) -> Request<Body> {
    let request = Request::post(uri).header(header::CONTENT_TYPE, "image/bmp");
    request.body(Body::from(image)).unwrap()
}

/// A request for outputs of grey pixels.
fn infer(images: usize, side: usize, outputs: &Value) -> Request<Body> {
    let length = images * side * side * 3;
    let shape = [images, side, side, 3];
    let parameters = json!({"binary_data_size": length});
    let input =
        json!({"name": "pixels", "shape": shape, "datatype": "UINT8", "parameters": parameters});
    let head = json!({"inputs": [input], "outputs": outputs}).to_string();
    let request = Request::post("/v2/models/tiny/infer")
        .header("inference-header-content-length", head.len());
    let body = [head.into_bytes(), vec![7; length]].concat();
    request.body(Body::from(body)).unwrap()
}

async fn asked(costs: CostLimits, engine: Behaviour, request: Request<Body>) -> Answer {
    let app = costing([("tiny", ready(engine, 16))], costs);
    answer(&router(app, Protection::default()), request).await
}

#[tokio::test]
async fn an_image_that_becomes_too_many_pixels_is_refused_on_every_route() {
    for (width, height) in [(16, 1), (1, 16), (40, 3), (3, 2000)] {
        for route in [
            "/v1/features?view=full&stage=c2",
            "/v1/features?view=full&stage=c5",
            "/v1/regions?view=full&method=grid",
            "/v1/regions?view=full&boxes=[[0,0,1,1]]",
            "/v1/regions?view=full&method=kmeans",
            "/v1/segmentations?method=kmeans",
            "/v1/segmentations?method=kmeans&stage=c2&output=overlay",
        ] {
            let uri = format!("{route}&size={SIZE}");
            let refused = asked(costs(), unasked(), post(&uri, black(width, height))).await;
            assert_eq!(
                refused.problem(),
                (413, "input-too-large"),
                "{uri} of {width}x{height}"
            );
            let view = View::new(Part::Full, SIZE).unwrap();
            let [rows, columns] = view.input_size(height.into(), width.into());
            let pixels = u64::from(rows) * u64::from(columns);
            let detail = refused.body["detail"].as_str().unwrap();
            assert!(detail.contains(&pixels.to_string()), "{detail}");
        }
    }
    let crop = format!("/v1/features?size={SIZE}");
    let refused = asked(costs(), unasked(), post(&crop, black(8, 8))).await;
    assert_eq!(refused.problem(), (413, "input-too-large"));
    let tensors = infer(1, 544, &json!([]));
    let refused = asked(costs(), unasked(), tensors).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    assert!(refused.body["error"].to_string().contains("295936 pixels"));
}

#[tokio::test]
async fn an_answer_that_would_be_too_long_is_refused_before_it_is_computed() {
    let short = || CostLimits {
        answer_bytes: 64,
        ..costs()
    };
    for uri in ["/v1/embeddings", "/v1/features", "/v1/regions?method=grid"] {
        let refused = asked(short(), unasked(), post(uri, black(8, 8))).await;
        assert_eq!(refused.problem(), (413, "answer-too-large"), "{uri}");
    }
    let refused = asked(
        short(),
        unasked(),
        post("/v1/segmentations?method=kmeans", black(8, 8)),
    );
    assert_eq!(refused.await.problem(), (413, "answer-too-large"));
    // The form counts: numbers in JSON take four times what bytes do.
    let output = |binary| json!([{"name": "c2", "parameters": {"binary_data": binary}}]);
    let bytes = {
        let cost = |binary| async move {
            let refused = asked(short(), unasked(), infer(2, 64, &output(binary))).await;
            assert_eq!(refused.status, 413, "{refused:?}");
            let text = refused.body["error"].as_str().unwrap().to_owned();
            text.split(' ')
                .find_map(|word| word.parse::<u64>().ok())
                .unwrap()
        };
        [cost(true).await, cost(false).await]
    };
    assert_eq!(bytes[1], bytes[0] * 4);
    let enough = CostLimits {
        answer_bytes: bytes[0],
        ..costs()
    };
    let found = asked(enough.clone(), answers(), infer(2, 64, &output(true))).await;
    assert_eq!(found.status, 200, "{found:?}");
    let refused = asked(enough, unasked(), infer(2, 64, &output(false))).await;
    assert_eq!(refused.status, 413);
}

#[tokio::test]
async fn work_that_finds_no_memory_is_sent_away_for_now_and_what_never_fits_for_good() {
    let small = CostLimits {
        memory: Memory::new(4096),
        ..costs()
    };
    let uri = "/v1/features?view=full&size=64";
    let refused = asked(small.clone(), unasked(), post(uri, black(8, 8))).await;
    assert_eq!(refused.problem(), (413, "work-too-large"));
    // What places are for is not counted again.
    let found = asked(small, answers(), post("/v1/embeddings", black(8, 8))).await;
    assert_eq!(found.status, 200);
    let limits = costs();
    let app = costing([("tiny", ready(answers(), 16))], limits.clone());
    let router = router(app, Protection::default());
    let mut taken = Share::default();
    limits
        .memory
        .grow(&mut taken, limits.memory.bytes())
        .unwrap();
    let refused = answer(&router, post(uri, black(8, 8))).await;
    assert_eq!(refused.problem(), (503, "overloaded"));
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    drop(taken);
    assert_eq!(answer(&router, post(uri, black(8, 8))).await.status, 200);
    assert_eq!(limits.memory.taken(), 0, "what was sent is given back");
}

#[tokio::test]
async fn felzenszwalb_waits_for_its_memory_and_an_image_that_takes_more_than_all_is_refused() {
    let uri = "/v1/segmentations?min_size=1";
    let limits = CostLimits {
        segmentation: Memory::new(64 << 10),
        ..costs()
    };
    for uri in [uri, "/v1/regions?method=felzenszwalb"] {
        let refused = asked(limits.clone(), unasked(), post(uri, black(40, 40))).await;
        assert_eq!(refused.problem(), (413, "work-too-large"), "{uri}");
    }
    let grid = post("/v1/segmentations?method=grid", black(40, 40));
    assert_eq!(asked(limits.clone(), unasked(), grid).await.status, 200);
    let taken = limits.segmentation.wait(64 << 10).await.unwrap();
    let app = costing([("tiny", ready(unasked(), 16))], limits.clone());
    let router = router(app, Protection::default());
    let hasty = answer(&router, post(&format!("{uri}&timeout_ms=20"), black(8, 8))).await;
    assert_eq!(hasty.problem(), (408, "expired"));
    let waiting = answer(&router, post(uri, black(8, 8)));
    drop(taken);
    assert_eq!(waiting.await.status, 200);
    assert_eq!(limits.segmentation.taken(), 0);
}

#[tokio::test]
async fn decoders_wait_for_their_memory_and_an_image_that_takes_more_than_all_is_refused() {
    let limits = CostLimits {
        decoding: Memory::new(16 << 10),
        ..costs()
    };
    let uris = [
        "/v1/embeddings",
        "/v1/features",
        "/v1/regions",
        "/v1/segmentations",
    ];
    for uri in uris {
        let refused = asked(limits.clone(), unasked(), post(uri, black(60, 60))).await;
        assert_eq!(refused.problem(), (413, "work-too-large"), "{uri}");
    }
    let taken = limits.decoding.wait(16 << 10).await.unwrap();
    let app = costing([("tiny", ready(answers(), 16))], limits.clone());
    let router = router(app, Protection::default());
    let hasty = answer(&router, post("/v1/embeddings?timeout_ms=20", black(8, 8)));
    assert_eq!(hasty.await.problem(), (408, "expired"));
    let waiting = answer(&router, post("/v1/embeddings", black(8, 8)));
    let free = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        drop(taken);
    };
    let (found, ()) = tokio::join!(waiting, free);
    assert_eq!(found.status, 200);
    assert_eq!(limits.decoding.taken(), 0);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up_by_the_repository_too() {
    let mut app = costing([("tiny", ready(answers(), 16))], costs());
    let limits = &mut std::sync::Arc::get_mut(&mut app).unwrap().limits;
    limits.timeout = std::time::Duration::from_millis(20);
    let router = router(app, Protection::default());
    for path in ["index", "models/tiny/load", "models/tiny/unload"] {
        let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let request = Request::post(format!("/v2/repository/{path}"));
        let request = request.body(Body::from_stream(never)).unwrap();
        assert_eq!(answer(&router, request).await.status, 408, "{path}");
    }
}
