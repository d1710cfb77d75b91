//! The server that load is put on: one that runs elsewhere, or a process of this program's own, which leaves with it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::serve::GREETING;
use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longest wait for a server to be ready: checking a large store takes a while.
const READY_WAIT: Duration = Duration::from_mins(5);
/// Between two questions whether it is.
const POLL: Duration = Duration::from_millis(100);

/// A server, by its address.
#[derive(Debug)]
pub struct Target {
    url: String,
    process: Option<Child>,
}

impl Target {
    /// One that runs already.
    #[must_use]
    pub fn running(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            process: None,
        }
    }

    /// This program as a server of `models` on a free port of this machine, with further flags as on its command
    /// line.
    pub async fn start(program: &Path, models: &Path, flags: &[String]) -> anyhow::Result<Self> {
        Self::start_with(program, models, flags, &[]).await
    }

    /// The same with further variables of the environment.
    pub async fn start_with(
        program: &Path,
        models: &Path,
        flags: &[String],
        variables: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .arg("--models")
            .arg(models)
            .args(["--listen", "127.0.0.1:0", "--log", "warn"])
            .args(flags)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let output = process.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let url = loop {
            match lines.next_line().await? {
                Some(line) => {
                    if let Some(url) = line.strip_prefix(GREETING) {
                        break url.to_owned();
                    }
                }
                None => bail!("the server ended before it listened; its messages are above"),
            }
        };
        // Read on, so that it can go on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            url,
            process: Some(process),
        })
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Waits until it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let (client, start) = (super::client::client().no_proxy().build()?, Instant::now());
        loop {
            let answer = client.get(self.url("/readyz")).send().await;
            let reason = match answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) => error.to_string(),
            };
            ensure!(
                start.elapsed() < READY_WAIT,
                "{} did not get ready in {} s: {reason}",
                self.url,
                READY_WAIT.as_secs()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Resident memory in bytes, of a process of our own on a system that tells it.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.resources().map(|it| it.memory)
    }

    /// What it has of the system, where it is a process of our own on a system that tells it.
    #[must_use]
    pub fn resources(&self) -> Option<Resources> {
        let id = self.process.as_ref()?.id()?;
        let place = PathBuf::from(format!("/proc/{id}"));
        let status = std::fs::read_to_string(place.join("status")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        let descriptors = std::fs::read_dir(place.join("fd")).ok()?;
        Some(Resources {
            memory: field("VmRSS:")? << 10,
            descriptors: descriptors.count(),
            threads: field("Threads:")?,
        })
    }
}

/// What a process has of the system.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// Resident memory in bytes.
    pub memory: u64,
    /// Files, sockets and more that it has open.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
}

impl fmt::Display for Resources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} MiB resident, {} descriptors, {} threads",
            self.memory >> 20,
            self.descriptors,
            self.threads
        )
    }
}
