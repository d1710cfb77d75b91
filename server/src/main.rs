//! `detcon-server`: serves embeddings of photographs over HTTP.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser};
use detcon_server::cli::allocator;
use detcon_server::cli::bench::{self, BenchArguments};
use detcon_server::cli::health::{self, HealthArguments};
use detcon_server::config::{Config, without_empty_variables};
use detcon_server::{Example, GREETING, LineWriter, Server, Telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// Serves embeddings of photographs by DetCon models over HTTP.
///
/// Every directory in --models is checked (digests of its files, then an embedding against the reference's) and
/// served under its name. / shows them in a browser, /docs documents the API, /v1/models lists what is served. SIGTERM
/// and SIGINT let requests in flight finish.
#[derive(Parser)]
#[command(name = "detcon-server", version, max_term_width = 100, after_long_help = include_str!("cli/help/program.txt"))]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// What is to be done. Serving needs no name; its flags and a command exclude each other.
enum Task {
    Serve(Box<Config>),
    Bench(Box<BenchArguments>),
    Health(HealthArguments),
}

impl Task {
    fn parse() -> Self {
        let bench = BenchArguments::augment_args(clap::Command::new("bench"));
        let health = HealthArguments::augment_args(clap::Command::new("health"));
        let command = Arguments::command()
            .subcommand(bench)
            .subcommand(health)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true);
        let matches = without_empty_variables(command).get_matches();
        let parsed = match matches.subcommand() {
            Some(("health", matches)) => {
                HealthArguments::from_arg_matches(matches).map(Self::Health)
            }
            Some((_bench, matches)) => {
                BenchArguments::from_arg_matches(matches).map(|it| Self::Bench(Box::new(it)))
            }
            None => {
                Arguments::from_arg_matches(&matches).map(|it| Self::Serve(Box::new(it.config)))
            }
        };
        parsed.unwrap_or_else(|error| error.exit())
    }
}

fn main() -> ExitCode {
    allocator::set_up();
    let done = match Task::parse() {
        Task::Serve(config) => serve(&config),
        Task::Bench(arguments) => measure(&arguments),
        Task::Health(arguments) => health::ask(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Ok(lines) = LineWriter::start(std::io::stderr()) {
                lines.say(&format!("detcon-server: {}", said(&error)));
                lines.finish();
            }
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, those left out that it has told itself.
fn said(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .fold(error.to_string(), |said, cause| {
            let cause = cause.to_string();
            if said.contains(&cause) {
                said
            } else {
                format!("{said}: {cause}")
            }
        })
}

#[tokio::main]
async fn measure(arguments: &BenchArguments) -> anyhow::Result<()> {
    bench::run(arguments).await
}

#[tokio::main]
async fn serve(config: &Config) -> anyhow::Result<()> {
    let _telemetry = Telemetry::start(config.log.settings())?;
    let shutdown = shutdown_signal()?;
    let server = Server::start(config).await?;
    let out = LineWriter::start(std::io::stdout())?;
    out.say(&format!("{GREETING}{}", server.url()));
    let place = (server.url(), config.models.models.clone());
    tokio::spawn(announce(out, place, server.loaded()));
    Ok(server.serve(shutdown).await?)
}

/// Says what to try once there is something to try.
async fn announce(
    out: LineWriter,
    (url, models): (String, PathBuf),
    loaded: impl Future<Output = Example>,
) {
    let query = match loaded.await {
        Example::Unnamed => String::new(),
        Example::Named(name) => format!("?model={name}"),
        Example::Refused => {
            return out.say(&format!("no model is served: {url}/v1/models says why"));
        }
        Example::None => {
            let models = models.display();
            return out.say(&format!(
                "no model is served: {models} holds none; make one with `detcon-convert import CHECKPOINT \
                 {models}/NAME`, or `detcon-convert demo {models}/NAME` to try, and it is served as soon as it is seen"
            ));
        }
    };
    out.say(&format!(
        "try: curl --data-binary @tests/golden/images/astronaut.jpg -H 'Content-Type: image/jpeg' \
         '{url}/v1/embeddings{query}'"
    ));
}

/// Resolves at the first SIGTERM or SIGINT.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
