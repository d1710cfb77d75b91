//! What the process takes of the machine, from `/proc`, under the names that every Prometheus client gives it.

use std::fs;
use std::time::Duration;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};

/// Registers what can be read here and now; what cannot is left out.
pub(super) fn register(registry: &mut Registry) {
    if let Some(stat) = Stat::read() {
        let resident = "Memory of the process that is in RAM.";
        gauge(
            registry,
            "process_resident_memory_bytes",
            resident,
            stat.resident_bytes,
        );
        let cpu = "Time on processors, in user and in system mode.";
        counter(registry, "process_cpu_seconds", cpu, stat.cpu.as_secs_f64());
        if let Some(booted) = boot_seconds() {
            let started = "When the process started, since 1970.";
            let start = booted + stat.since_boot.as_secs_f64();
            gauge(registry, "process_start_time_seconds", started, start);
        }
        gauge(registry, "process_threads", "Threads.", stat.threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        let open = open.count() as f64;
        gauge(
            registry,
            "process_open_fds",
            "Open files and connections.",
            open,
        );
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        gauge(
            registry,
            "process_max_fds",
            "Most open files and connections.",
            limit as f64,
        );
    }
}

/// Of `/proc/self/stat` (`proc_pid_stat(5)`).
struct Stat {
    cpu: Duration,
    since_boot: Duration,
    resident_bytes: f64,
    threads: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted from 1 and the second, the program's name, may hold anything up to the last parenthesis.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks =
            |count: u64| Duration::from_millis(count * 1000 / clock_ticks_per_second().max(1));
        let pages = field(24)? * u64::try_from(page_size()).ok()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "bytes and threads are far from 2^53"
        )]
        let float = |value: u64| value as f64;
        Some(Self {
            cpu: ticks(field(14)? + field(15)?),
            since_boot: ticks(field(22)?),
            resident_bytes: float(pages),
            threads: float(field(20)?),
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Registers a value as it is now.
fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help.trim_end_matches('.'), ConstGauge::new(value));
}

/// Registers a count as it is now; its name ends in `_total` for those who read it.
fn counter(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help.trim_end_matches('.'), ConstCounter::new(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let fields: Vec<String> = (3..=52).map(|n: u64| n.to_string()).collect();
        let stat = Stat::parse(&format!("1 (a) b) {}", fields.join(" "))).unwrap();
        assert!((stat.threads - 20.0).abs() < f64::EPSILON);
        let ticks = u32::try_from(clock_ticks_per_second()).unwrap();
        assert_eq!(stat.cpu, Duration::from_secs(14 + 15) / ticks);
    }

    #[test]
    fn this_process_uses_memory() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident_bytes > 1e6 && stat.threads >= 1.0);
    }
}
