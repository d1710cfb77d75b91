//! An S3 server in this process, which keeps its objects in a temporary folder.

use std::fs;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) const BUCKET: &str = "data";
const KEY: &str = "key";
const SECRET: &str = "secret";

/// Is asked before each request whether it is done at all: one that is not finds its connection closed.
type Gate = Box<dyn FnMut() -> bool + Send>;

/// A server, its folder, and the runtime that it lives as long as.
pub(crate) struct S3 {
    _runtime: Runtime,
    pub(crate) folder: TempDir,
    address: SocketAddr,
    gate: Arc<Mutex<Gate>>,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let open: Gate = Box::new(|| true);
        let gate = Arc::new(Mutex::new(open));
        let asked = Arc::clone(&gate);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, asked) = (service.clone(), Arc::clone(&asked));
                let service = service_fn(move |request: Request<Incoming>| {
                    let done = asked.lock().unwrap()();
                    let answer = done.then(|| Service::call(&service, request));
                    async {
                        let answer = answer.ok_or_else(|| Error::from(ErrorKind::BrokenPipe))?;
                        answer.await.map_err(Error::other)
                    }
                });
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that closes a connection is no fault.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            _runtime: runtime,
            folder,
            address,
            gate,
        }
    }

    /// Asks `gate` before each request from now on whether it is done.
    pub(crate) fn ask(&self, gate: impl FnMut() -> bool + Send + 'static) {
        *self.gate.lock().unwrap() = Box::new(gate);
    }

    /// Tells a program where it is, and a secret that is right or not.
    pub(crate) fn tell(&self, program: &mut Command, right: bool) {
        program
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env(
                "AWS_SECRET_ACCESS_KEY",
                if right { SECRET } else { "wrong" },
            );
    }
}
