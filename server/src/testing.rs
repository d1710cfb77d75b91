//! What tests of requests share: an application whose engine does as the test says, and ways to ask it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use detcon_converter::demo::demo;
use detcon_core::checkpoint::Tensor;
use detcon_core::files::Existing;
use detcon_core::image::ImageLimits;
use detcon_core::model::{ModelDirectory, Precision};
use detcon_inference::{
    Batch, Compute, Dense, Device, InferenceError, Network, OpenOptions, Output, PrecisionChoice,
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::api::App;
use crate::engine::{CostLimits, Memory, Pipeline, Run, Turns};
use crate::http::Limits;
use crate::http::image_fetch::Fetcher;
use crate::models::store::Store;
use crate::models::{Model, Opener, Refusal, Registry, ServeOptions, State};
use crate::observe::{EngineStats, Metrics};
use crate::protect::Protection;
use crate::serve::routes::router;

/// Longest wait of a test's server, where the test is not about it.
const LONG: Duration = Duration::from_mins(10);
/// Length of the embeddings of the model that tests serve.
const SIZE: usize = 8;

/// What an engine does at a batch.
pub(crate) type Behaviour = Box<dyn FnMut(&Batch) -> Result<Vec<Tensor>, InferenceError> + Send>;

struct Engine(Behaviour);

impl Run for Engine {
    fn run(&mut self, batch: &Batch, _output: Output) -> Result<Vec<Tensor>, InferenceError> {
        (self.0)(batch)
    }

    fn reopen(&mut self) -> Result<(), InferenceError> {
        Ok(())
    }
}

/// An engine that answers.
pub(crate) fn answers() -> Behaviour {
    Box::new(|batch| Ok(embeddings(batch)))
}

/// An embedding for every image of a batch.
pub(crate) fn embeddings(batch: &Batch) -> Vec<Tensor> {
    vec![Tensor::new(vec![SIZE], vec![0.5; SIZE]); batch.shape[0]]
}

/// A model that is served by an engine of this behaviour.
pub(crate) fn ready(behaviour: Behaviour, queue: usize) -> State {
    static MADE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let store = tempfile::tempdir().unwrap();
        let place = store.path().join("tiny");
        demo(&place, Existing::Keep, "tiny".parse().unwrap(), 0).unwrap();
        store
    });
    let model = model_in(&MADE.path().join("tiny"), behaviour, queue);
    State::Ready(Arc::new(model))
}

/// The model in a directory, with an engine of this behaviour.
pub(crate) fn model_in(place: &Path, behaviour: Behaviour, queue: usize) -> Model {
    let directory = ModelDirectory::open(place).unwrap();
    let network = Network::open(directory, Precision::Fp32, Dense::All).unwrap();
    let options = options(queue.try_into().unwrap());
    Model::start(network, Engine(behaviour), &options, Arc::default()).unwrap()
}

fn options(queue: NonZeroUsize) -> ServeOptions {
    ServeOptions {
        open: OpenOptions {
            precision: PrecisionChoice::Fp32,
            compute: Compute {
                device: Device::Cpu,
                threads: NonZeroUsize::MIN,
                spinning: Duration::ZERO,
            },
            dense: Dense::All,
        },
        turns: Turns::default(),
        max_batch: 4.try_into().unwrap(),
        batch_pixels: None,
        queue,
    }
}

/// What the work on a test's requests may cost.
pub(crate) fn costs() -> CostLimits {
    CostLimits {
        input_pixels: 512 * 512,
        answer_bytes: 64 << 20,
        memory: Memory::new(256 << 20),
        segmentation: Memory::new(64 << 20),
        decoding: Memory::new(64 << 20),
    }
}

/// Opens nothing.
struct Unopened;

impl Opener for Unopened {
    fn open(&self, _path: &Path, _stats: Arc<EngineStats>) -> Result<Model, Refusal> {
        Err(Refusal::Panic)
    }

    fn check(&self, _path: &Path) -> Result<(), Refusal> {
        Err(Refusal::Panic)
    }
}

/// An application that serves these models, and waits this long for an answer.
pub(crate) fn application(
    models: impl IntoIterator<Item = (&'static str, State)>,
    timeout: Duration,
) -> Arc<App> {
    stored(models, timeout, Store::read_only("/nowhere".into()))
}

/// The same over a store.
pub(crate) fn stored(
    models: impl IntoIterator<Item = (&'static str, State)>,
    timeout: Duration,
    store: Store,
) -> Arc<App> {
    of(models, (timeout, costs()), store)
}

/// An application that serves these models, and lets requests cost no more than this.
pub(crate) fn costing(
    models: impl IntoIterator<Item = (&'static str, State)>,
    costs: CostLimits,
) -> Arc<App> {
    of(models, (LONG, costs), Store::read_only("/nowhere".into()))
}

fn of(
    models: impl IntoIterator<Item = (&'static str, State)>,
    (timeout, costs): (Duration, CostLimits),
    store: Store,
) -> Arc<App> {
    let models = models.into_iter();
    let models = models.map(|(name, state)| (name.to_owned(), state));
    let limits = Limits {
        bytes: 1 << 20,
        images: 4,
        timeout: LONG,
        memory: Memory::new(8 << 20),
        fetcher: Fetcher::default(),
    };
    let pipeline = Pipeline::new(2, ImageLimits::default(), costs, timeout);
    Arc::new(App {
        registry: Arc::new(Registry::new(models.collect(), None, Box::new(Unopened))),
        pipeline,
        limits,
        store,
        metrics: Arc::new(Metrics::new()),
    })
}

/// The same as a router, with all the time that it may need.
pub(crate) fn serving(models: impl IntoIterator<Item = (&'static str, State)>) -> Router {
    router(application(models, LONG), Protection::default())
}

/// An image of one pixel.
pub(crate) fn image() -> Body {
    Body::from(&b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\x20\x30\0"[..])
}

/// A black image of this many columns and rows, as a BMP.
pub(crate) fn black(width: u16, height: u16) -> Vec<u8> {
    let row = (usize::from(width) * 3).next_multiple_of(4);
    let mut bmp = b"BM".to_vec();
    bmp.extend([0; 8]); // length and reserved: nobody reads them
    bmp.extend(54_u32.to_le_bytes()); // where the pixels begin
    bmp.extend(40_u32.to_le_bytes()); // length of this header
    bmp.extend(
        [width.into(), height.into()]
            .into_iter()
            .flat_map(u32::to_le_bytes),
    );
    bmp.extend([1, 0, 24, 0]); // planes, bits of a pixel
    bmp.extend([0; 24]);
    bmp.resize(54 + row * usize::from(height), 0);
    bmp
}

/// A request for the embedding of [`image`].
pub(crate) fn post(uri: &str) -> Request<Body> {
    Request::post(uri)
        .header(header::CONTENT_TYPE, "image/bmp")
        .body(image())
        .unwrap()
}

/// A request without a body.
pub(crate) fn ask(method: Method, uri: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::empty()).unwrap()
}

/// What the router answers.
pub(crate) async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

/// The body of what the router answers well.
pub(crate) async fn text(router: &Router, request: Request<Body>) -> String {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    String::from_utf8(body.unwrap().into()).unwrap()
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    /// Null where it is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// Status and the problem's own name, of what must be a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status, "{self:?}");
        let kind = self.body["type"].as_str().unwrap_or_default();
        (
            self.status,
            kind.strip_prefix("urn:detcon:problem:").unwrap_or_default(),
        )
    }
}
