//! What Prometheus is told while a run lasts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use anyhow::Context as _;
use detcon_extractor::count::Counts;
use detcon_extractor::pipeline::Run;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Longest wait for a request, and longest request.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: usize = 4096;

/// Where Prometheus asks.
pub(super) struct Metrics {
    listener: TcpListener,
}

/// While it lives, Prometheus is answered.
pub(super) struct Answered {
    address: Option<SocketAddr>,
    ended: Arc<AtomicBool>,
}

impl Metrics {
    pub(super) fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address);
        let listener =
            listener.with_context(|| format!("--metrics {address}: nobody can listen there"))?;
        let address = listener.local_addr()?;
        eprintln!("detcon-extract: metrics at http://{address}/metrics");
        Ok(Self { listener })
    }

    /// Answers until what this gives is dropped.
    pub(super) fn answer<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        run: &Run<'scope>,
    ) -> Answered {
        let ended = Arc::new(AtomicBool::new(false));
        let (ends, counts, todo) = (Arc::clone(&ended), run.counts, run.todo.len());
        scope.spawn(move || {
            for connection in self.listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes is no fault.
                let _ = connection.and_then(|connection| answer(connection, &text(counts, todo)));
            }
        });
        Answered {
            address: self.listener.local_addr().ok(),
            ended,
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes whoever waits for a connection.
        if let Some(address) = self.address {
            let _ = TcpStream::connect_timeout(&address, PATIENCE);
        }
    }
}

/// Reads a request's head and answers whatever it asks with the metrics.
fn answer(mut connection: TcpStream, text: &str) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut piece = [0; LONGEST];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        match connection.read(&mut piece)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    let known = head.starts_with(b"GET /metrics ") || head.starts_with(b"GET /metrics?");
    let (status, text) = if known {
        ("200 OK", text)
    } else {
        ("404 Not Found", "")
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn text(counts: &Counts, todo: usize) -> String {
    let mut registry = Registry::with_prefix("detcon_extract");
    let plain = [
        ("images", "Images whose rows are written", &counts.images),
        ("rows", "Rows that are written", &counts.rows),
        ("errors", "Images that could not be used", &counts.errors),
        ("parts", "Parts that this run has made", &counts.parts),
        (
            "read_bytes",
            "Bytes of images that were read",
            &counts.bytes,
        ),
    ];
    for (name, help, count) in plain {
        registry.register(name, help, ConstCounter::new(count.get()));
    }
    let times = [
        (
            "waiting_for_reading",
            "How long decoders waited for images",
            &counts.for_reading,
        ),
        (
            "waiting_for_writing",
            "How long decoders waited for memory that later stages held",
            &counts.for_room,
        ),
        (
            "waiting_for_decoding",
            "How long engines waited for inputs",
            &counts.for_inputs,
        ),
        ("computing", "How long engines computed", &counts.computing),
    ];
    for (name, help, time) in times {
        let seconds = Duration::from_nanos(time.get()).as_secs_f64();
        registry.register_with_unit(name, help, Unit::Seconds, ConstCounter::new(seconds));
    }
    let todo = i64::try_from(todo).unwrap_or(i64::MAX);
    registry.register(
        "parts_to_make",
        "Parts that this run makes",
        ConstGauge::new(todo),
    );
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}
