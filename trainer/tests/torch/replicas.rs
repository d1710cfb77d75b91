//! Whole steps on as many real processes as the golden file has replicas, over Gloo, against the published code's own
//! numbers. This program is the test and, with a rank as its argument, each of the processes.

mod golden;
mod steps;

use std::net::TcpListener;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use detcon_trainer::distributed::{Group, Rendezvous, Share};
use tch::{Device, Kind};

use golden::{objective, setting};
use steps::Start;

const FILE: &str = "train_steps_2replica.safetensors";
/// First argument of a rank; its number and the port follow.
const RANK: &str = "--as-rank";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, rank, port] if flag == RANK => {
            take_part(rank.parse().unwrap(), port.parse().unwrap());
            ExitCode::SUCCESS
        }
        // What else test programs are asked.
        [flag, ..] if flag == "--list" => ExitCode::SUCCESS,
        _ => all_ranks(),
    }
}

fn all_ranks() -> ExitCode {
    let replicas: usize = setting(&objective(FILE), "replicas");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let ranks = (0..replicas).map(|rank| {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args([RANK, &rank.to_string(), &port.to_string()]);
        program.env("OMP_NUM_THREADS", "1").spawn().unwrap()
    });
    let ranks: Vec<_> = ranks.collect();
    let passed = ranks
        .into_iter()
        .map(|mut rank| rank.wait().unwrap().success());
    if passed.collect::<Vec<_>>().into_iter().all(|passed| passed) {
        println!("{replicas} replicas: every log, gradient and change is upstream's");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn take_part(rank: usize, port: u16) {
    let file = objective(FILE);
    let share = Share::new(rank, setting(&file, "replicas")).unwrap();
    let rendezvous = Rendezvous {
        share,
        host: "127.0.0.1".to_owned(),
        port,
        served: false,
        silence: 20,
    };
    let group = Arc::new(Group::meet(&rendezvous, Device::Cpu).unwrap());
    for (kind, tolerance, start) in [
        (Kind::Double, 1e-3, Start::Own),
        (Kind::Float, 1e-3, Start::Own),
        (Kind::Float, 1e-3, Start::Published),
    ] {
        let worst = steps::three_steps(&file, kind, tolerance, start, Some(&group));
        println!("rank {rank}, {kind:?}, {start:?}: largest error {worst:e}");
    }
}
