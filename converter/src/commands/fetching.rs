//! How a command fetches what is at an address.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use detcon_converter::fetch::{FetchOptions, Patience};

/// The folder below a user's cache.
const FOLDER: &str = "detcon";

/// Where fetched checkpoints are kept, and what they must be.
#[derive(Args)]
pub(crate) struct FetchArguments {
    /// Where fetched checkpoints are kept [default: detcon in the user's cache directory].
    #[arg(long, env = "DETCON_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Fetch nothing: use what is in the cache.
    #[arg(long)]
    offline: bool,
    /// What the checkpoint's SHA-256 must be.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<String>,
    /// Seconds that a server may send nothing before the transfer is begun anew where it broke off.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    stall_timeout: NonZeroU32,
    /// The user's cache directory, as the XDG base directory specification says.
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    xdg_cache_home: Option<PathBuf>,
    /// Where it is if that is not set: `.cache` in here.
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
}

impl FetchArguments {
    pub(crate) fn options(&self) -> FetchOptions {
        let absolute = |path: &&PathBuf| path.is_absolute();
        let user = match self.xdg_cache_home.as_ref().filter(absolute) {
            Some(cache) => Some(cache.clone()),
            None => self
                .home
                .as_ref()
                .filter(absolute)
                .map(|home| home.join(".cache")),
        };
        FetchOptions {
            cache: self
                .cache
                .clone()
                .or_else(|| user.map(|cache| cache.join(FOLDER))),
            offline: self.offline,
            sha256: self.sha256.clone(),
            patience: Patience(Duration::from_secs(self.stall_timeout.get().into())),
        }
    }
}

fn digest(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a SHA-256 is 64 hexadecimal digits".to_owned())
    }
}
