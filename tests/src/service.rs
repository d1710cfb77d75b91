//! A running server on a free port of this machine, stopped when it is dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::Parser;
use detcon_core::model::ModelDirectory;
use detcon_inference::{Compute, Dense, Engine, Model, OpenOptions, PrecisionChoice, Runtime};
use detcon_server::Server;
use detcon_server::config::Config;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{golden, models};

/// ONNX Runtime, which a process loads once.
pub static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::load(&library()).expect("make fetches ONNX Runtime"));

/// Where ONNX Runtime's library is.
#[must_use]
pub fn library() -> PathBuf {
    std::env::var_os("DETCON_ONNXRUNTIME").map_or_else(
        || golden::workspace().join(".deps/onnxruntime/libonnxruntime.so"),
        Into::into,
    )
}

/// A server and where to reach it.
#[derive(Debug)]
pub struct Service {
    /// Its address.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

impl Service {
    /// Serves every model in `store`, with further flags as on the command line, and waits until all are decided
    /// about.
    pub async fn start(store: &Path, flags: &[&str]) -> Self {
        let store = store.to_str().expect("paths are UTF-8");
        let arguments = [
            "detcon-server",
            "--listen",
            "127.0.0.1:0",
            "--models",
            store,
        ];
        let mut config = Arguments::parse_from(arguments.iter().chain(flags)).config;
        if !flags.contains(&"--shutdown-delay") {
            config.listen.shutdown_delay = Duration::ZERO; // nobody balances load here
        }
        let server = Server::start_with(&config, RUNTIME.clone())
            .await
            .expect("the server starts");
        server.loaded().await;
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await; // sent, or dropped: both mean stop
            };
            server.serve(shutdown).await.expect("the server serves");
        });
        Self {
            address,
            stop: Some(stop),
            done,
        }
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.done.await.expect("the server ends without a panic");
    }
}

/// A client of servers.
#[must_use]
pub fn client() -> reqwest::Client {
    let client = detcon_server::cli::bench::client::client().build();
    client.expect("a client starts")
}

/// The engine of a model, in float32.
#[must_use]
pub fn engine(model: &ModelDirectory, compute: Compute) -> Engine {
    let options = OpenOptions {
        precision: PrecisionChoice::Fp32,
        compute,
        dense: Dense::All,
    };
    let opened = Model::open(&RUNTIME, model.path(), options).expect("a model opens");
    opened.into_parts().1
}

/// A store with links to models.
#[must_use]
pub fn store(served: &[&ModelDirectory]) -> tempfile::TempDir {
    let store =
        tempfile::tempdir_in(golden::workspace().join("target")).expect("target/ can be written");
    for model in served {
        let _ = models::link_into(store.path(), model);
    }
    store
}
