//! What may change in the store.

use clap::Args;

use super::read::switch;

/// What may change in the store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Uploads")]
pub struct UploadArguments {
    /// Take uploads of models, and remove models, over HTTP. Where there are API keys, those of the scope admin may;
    /// where there are none, everybody who reaches the server may.
    #[arg(long, env = "DETCON_ALLOW_UPLOADS", value_parser = switch)]
    pub allow_uploads: bool,
    /// Longest upload, and most bytes of what is in it, in bytes.
    #[arg(
        long,
        env = "DETCON_MAX_UPLOAD_BYTES",
        value_name = "BYTES",
        default_value_t = 4 << 30,
        requires = "allow_uploads"
    )]
    pub max_upload_bytes: u64,
}
