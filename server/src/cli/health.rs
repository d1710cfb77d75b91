//! `detcon-server health`: asks a running server whether it is well, so that an image needs no other program for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ureq::tls::TlsConfig;

use crate::config::listen;

/// Asks the server on this machine whether it is well: exit status 0 if it is, 1 if not.
#[derive(Args, Clone, Debug)]
pub struct HealthArguments {
    /// Where the server listens; an unspecified address (`0.0.0.0`, `[::]`) is asked on loopback.
    #[arg(
        long,
        env = "DETCON_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = listen
    )]
    pub listen: SocketAddr,
    /// Certificate of the server, which is then asked over TLS; what it says is not looked at.
    #[arg(long, env = "DETCON_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Ask whether it serves (/readyz), and not only whether it lives (/livez).
    #[arg(long)]
    pub ready: bool,
    /// Longest wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub timeout: u64,
}

/// Asks; an error where the answer is no, or none. Blocks. Over TLS no certificate is verified: it is this machine that
/// is asked, mostly by another name than the certificate's, and nothing is told that others could not know.
pub fn ask(arguments: &HealthArguments) -> anyhow::Result<()> {
    let mut address = arguments.listen;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(loopback);
    }
    let path = if arguments.ready { "readyz" } else { "livez" };
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(arguments.timeout)))
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .proxy(None);
    let agent: ureq::Agent = config.build().into();
    let scheme = arguments.tls_cert.as_ref().map_or("http", |_| "https");
    agent.get(format!("{scheme}://{address}/{path}")).call()?;
    Ok(())
}
