//! The log on standard error, and the traces that OpenTelemetry's collectors take (OTLP over HTTP), where asked for.

use std::io::IsTerminal as _;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use bytes::Bytes;
use clap::ValueEnum;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanLimits};
use tracing::level_filters::LevelFilter;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{FilterFn, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _};

use super::Timings;
use super::lines::LineWriter;

/// Spans that are sent to collectors.
const TARGET: &str = "detcon_server::request";
/// Longest wait for a collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer of a collector, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// Longest wait for a collector when the server ends.
const LAST_EXPORT: Duration = Duration::from_secs(5);

/// Why there is no log, or no traces.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log cannot be read.
    #[error("--log {filter:?}: {source}; give error, warn, info, debug or trace")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Traces cannot be sent there.
    #[error(
        "--otlp-endpoint {endpoint:?}: {source}; give an address such as http://localhost:4318"
    )]
    Exporter {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        source: ExporterBuildError,
    },
    /// There is no thread to write the log.
    #[error("the log cannot be written: {0}")]
    Writer(#[source] std::io::Error),
    /// The process has a log already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and traced.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings<'a> {
    /// How a line of the log is written.
    pub format: LogFormat,
    /// Least severe events that are logged, or a filter by module.
    pub filter: &'a str,
    /// Address of an OpenTelemetry collector.
    pub collector: Option<&'a str>,
}

/// The log and the traces of this process. When it is dropped, the traces that are left are sent.
#[derive(Debug)]
pub struct Telemetry {
    log: LineWriter,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts both as the command line says.
    pub fn start(settings: LogSettings<'_>) -> Result<Self, TelemetryError> {
        let filter =
            EnvFilter::try_new(settings.filter).map_err(|source| TelemetryError::Filter {
                filter: settings.filter.to_owned(),
                source,
            })?;
        let lines = LineWriter::start(std::io::stderr()).map_err(TelemetryError::Writer)?;
        let writer = lines.clone();
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(move || writer.clone());
        let log = match settings.format {
            LogFormat::Text => log.boxed(),
            LogFormat::Json => log.json().flatten_event(true).boxed(),
        };
        let traces = settings.collector.map(provider).transpose()?;
        let sent = traces.as_ref().map(|traces| {
            let ours = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == TARGET);
            tracing_opentelemetry::layer()
                .with_tracer(traces.tracer("detcon-server"))
                .with_location(false)
                .with_threads(false)
                .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
        });
        tracing_subscriber::registry()
            .with(log.with_filter(filter))
            .with(sent)
            .try_init()?;
        // The usual hook writes to standard error itself, and waits for whoever reads it.
        std::panic::set_hook(Box::new(
            |panic| tracing::error!(%panic, "a thread panicked"),
        ));
        Ok(Self { log: lines, traces })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(LAST_EXPORT)
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
        self.log.finish();
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let traces = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new())
        .with_endpoint(traces)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let resource = Resource::builder()
        .with_service_name("detcon-server")
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_span_limits(SpanLimits::default())
        .with_resource(resource)
        .build())
}

/// Sends spans. The exporter has a thread of its own, so it may wait.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        let bytes = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

/// The span of a request. Its fields are those of OpenTelemetry's conventions for HTTP servers.
pub(super) fn request_span(method: &'static str, route: &str, id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "request",
        id,
        method,
        route,
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
    )
}

/// Makes the span a part of the client's trace, if the client says which that is (W3C Trace Context).
pub(super) fn continue_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if context.span().span_context().is_valid() {
        // Fails where nothing is traced.
        let _ = span.set_parent(context);
    }
}

/// Notes in the span what became of the request and where its time went.
pub(super) fn answered(span: &Span, status: u16, timings: &Timings) {
    span.set_attribute("http.response.status_code", i64::from(status));
    for (phase, took) in timings.measured() {
        let name = format!("detcon.{}_ms", phase.name());
        span.set_attribute(name, took.as_secs_f64() * 1e3);
    }
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}
