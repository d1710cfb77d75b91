//! Who may ask, from where, and over what.

use std::path::PathBuf;

use clap::Args;

use super::read::switch;
use crate::http::{ImageOrigin, Origin};
use crate::protect::{Gate, KeysError, Playground, Protection};

/// Who may ask, from where, and over what.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Protection")]
pub struct ProtectArguments {
    /// File of API keys, a line SCOPE:KEY or SCOPE:sha256:HEX each, with a scope of inference, metrics or admin; read
    /// again at SIGHUP [default: everybody may ask].
    #[arg(long, env = "DETCON_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Origin whose pages may ask from a browser, such as `https://example.org`, or * for every one; may be
    /// given several times [default: none].
    #[arg(
        long,
        env = "DETCON_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<Origin>,
    /// Origin that images may be fetched from when a request names them by address, such as
    /// `https://images.example.org`; may be given several times, and http only where it is written so [default: none, nothing is fetched].
    #[arg(
        long,
        env = "DETCON_ALLOW_URL",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub allow_url: Vec<ImageOrigin>,
    /// Also fetches from addresses inside networks (private, loopback, link-local), for those origins.
    #[arg(long, env = "DETCON_ALLOW_PRIVATE_ADDRESSES", value_parser = switch, requires_if("true", "allow_url"))]
    pub allow_private_addresses: bool,
    /// Serves no page at / to try the models with in a browser.
    #[arg(long, env = "DETCON_NO_PLAYGROUND", value_parser = switch)]
    pub no_playground: bool,
    /// Certificate chain for TLS, PEM.
    #[arg(
        long,
        env = "DETCON_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(
        long,
        env = "DETCON_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
}

impl ProtectArguments {
    /// Who may ask, and from where.
    pub(crate) fn protection(&self) -> Result<Protection, KeysError> {
        Ok(Protection {
            gate: Gate::open(self.api_keys.clone())?,
            origins: self.cors_origin.clone(),
            playground: if self.no_playground {
                Playground::Hidden
            } else {
                Playground::Served
            },
        })
    }
}
