//! What a server does under a crowd of which some are hostile and some leave: every request has one outcome, the
//! server's own count is the same, and its memory comes back.
//!
//! It runs the program in `DETCON_SERVER`, by default `target/release/detcon-server`, which `make bench` builds.

use std::path::PathBuf;
use std::time::Duration;

use detcon_server::cli::bench::target::Target;
use detcon_tests::crowd::{self, Crowd, Outcomes};
use detcon_tests::{golden, models, results, service};
use serde_json::json;

/// Requests of the crowd.
const REQUESTS: usize = 20_000;
/// Requests of each of the crowds before it, which bring the server to its working size.
const WARM_UP: usize = 4_000;
/// At the same time.
const CLIENTS: usize = 32;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether it builds
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(pressure());
}

async fn pressure() {
    let program = std::env::var_os("DETCON_SERVER").map_or_else(
        || golden::workspace().join("target/release/detcon-server"),
        PathBuf::from,
    );
    let store = service::store(&[&models::imported("tiny", 0)]);
    let target = Target::start(&program, store.path(), &crowd::flags())
        .await
        .expect("the server starts");
    target.ready().await.expect("the server gets ready");
    for seed in 0..2 {
        send(&target, WARM_UP, seed).await;
    }
    let (memory_before, counted_before) = (target.memory(), counted(&target).await);
    let outcomes = send(&target, REQUESTS, 2).await;
    let counted = counted(&target).await - counted_before;
    let (before, after) = (
        memory_before.expect("a process of our own"),
        target.memory().expect("it still runs"),
    );
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
    let growth = after as f64 / before as f64 - 1.0;
    println!("{REQUESTS} requests to tiny, {CLIENTS} at a time:");
    println!(
        "  {} answered, {} refused, {} hostile rejected {:?}, {} left, {} ended, {} wrong {:?}",
        outcomes.answered,
        outcomes.refused,
        outcomes.rejected.values().sum::<usize>(),
        outcomes.rejected,
        outcomes.left,
        outcomes.ended,
        outcomes.wrong.values().sum::<usize>(),
        outcomes.wrong
    );
    println!(
        "  the clients' count {}, the server's {counted}",
        outcomes.requests()
    );
    println!(
        "  resident memory {:.1} MiB after the warm-up, {:.1} MiB after: {:+.1} %",
        mebibytes(before),
        mebibytes(after),
        growth * 100.0
    );
    results::write(
        "pressure",
        &json!({"requests": REQUESTS, "clients": CLIENTS, "answered": outcomes.answered, "refused": outcomes.refused,
                "rejected": outcomes.rejected, "left": outcomes.left, "ended": outcomes.ended, "wrong": outcomes.wrong, "server_count": counted,
                "memory_before": before, "memory_after": after}),
    );
}

async fn send(target: &Target, requests: usize, seed: u64) -> Outcomes {
    let address = target.url("").trim_start_matches("http://").parse();
    let address = address.expect("a server of our own has an address");
    let crowd = Crowd {
        requests,
        clients: CLIENTS,
        seed,
    };
    crowd::send(address, crowd).await
}

/// Requests to the crowd's routes that the server has counted, once none is in flight.
async fn counted(target: &Target) -> u64 {
    loop {
        let text = detcon_tests::service::client()
            .get(target.url("/metrics"))
            .send()
            .await
            .expect("an answer");
        let text = text.text().await.expect("a whole answer");
        let sum = |name: &str| -> f64 {
            let of_route = |line: &&str| {
                let asked = |route: &str| line.contains(&format!("\"{route}\""));
                line.starts_with(name) && crowd::ROUTES.into_iter().any(asked)
            };
            let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
            text.lines().filter(of_route).filter_map(value).sum()
        };
        if sum("detcon_requests_in_flight") == 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            return sum("detcon_requests_total") as u64;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
