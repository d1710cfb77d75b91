//! How values are read that clap has no reader of its own for, from the command line and from the environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::Command;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Most of anything that is counted: enough for every machine, and below what counters of 32 bits hold.
pub(super) const MAX_COUNT: usize = 65_536;
/// Longest of anything that is waited for, in seconds: what is added to a clock stays on it.
pub(super) const DAY: u64 = 86_400;
/// Most bytes of what is held in memory as a whole: a terabyte, so that sums of a few stay numbers.
const MAX_BYTES: usize = 1 << 40;

/// A span of time: seconds, decimals allowed, up to a day.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or("give seconds, from 0 to 86400")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// The same in whole seconds, one at least.
pub(super) fn whole_seconds(text: &str) -> Result<NonZeroU64, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds: &NonZeroU64| seconds.get() <= DAY);
    seconds.ok_or_else(|| format!("give whole seconds, from 1 to {DAY}"))
}

/// Bytes of what is held as a whole.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok();
    let bytes = bytes.filter(|bytes| (1..=MAX_BYTES).contains(bytes));
    bytes.ok_or_else(|| format!("give bytes, from 1 to {MAX_BYTES}"))
}

/// A count.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|count: &NonZeroUsize| count.get() <= MAX_COUNT)
        .ok_or_else(|| format!("give a number from 1 to {MAX_COUNT}"))
}

/// Yes or no, in any of the ways in which people write it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give true or false (1, 0, yes, no, on and off are read too)".to_owned()),
    }
}

/// Where to listen: an address and a port, `localhost`, or a port alone for every address.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let address = text.rsplit_once(':').and_then(|(host, port)| {
        let host = match host {
            "" => Ipv4Addr::UNSPECIFIED,
            "localhost" => Ipv4Addr::LOCALHOST,
            _ => return None,
        };
        Some(SocketAddr::from((host, port.parse().ok()?)))
    });
    address.ok_or_else(|| {
        "give an address and a port, such as 127.0.0.1:8080, [::1]:8080, or :8080 for every address"
            .to_owned()
    })
}

/// What is logged: a level, or a filter by module. A word that is no level would be a module that nobody has, and
/// nothing were logged.
pub(super) fn filter(text: &str) -> Result<String, String> {
    let parts = || text.split(',').map(str::trim);
    let level = |part: &str| {
        !part.is_empty() && (part.contains(['=', '[', ':']) || part.parse::<LevelFilter>().is_ok())
    };
    if parts().all(level) && EnvFilter::try_new(text).is_ok() {
        return Ok(text.to_owned());
    }
    let help =
        "give off, error, warn, info, debug or trace, or a filter such as info,detcon_server=debug";
    Err(help.to_owned())
}

/// Takes the variables that are set to nothing for variables that are not set.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            argument.env(None::<&str>)
        } else {
            argument
        }
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_read_in_any_case() {
        for (text, value) in [
            ("1", true),
            ("On", true),
            ("YES", true),
            ("FALSE", false),
            ("0", false),
            ("no", false),
        ] {
            assert_eq!(switch(text), Ok(value));
        }
        assert!(switch("perhaps").unwrap_err().contains("true or false"));
    }

    #[test]
    fn where_to_listen_is_an_address_or_what_people_write_for_one() {
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::]:80", "[::]:80"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:0", "127.0.0.1:0"),
        ] {
            assert_eq!(listen(text), Ok(address.parse().unwrap()));
        }
        for text in [
            "8080",
            "localhost",
            "example.org:80",
            ":80:80",
            ":x",
            ":65536",
        ] {
            assert!(
                listen(text).unwrap_err().contains("127.0.0.1:8080"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_filter_of_the_log_names_levels() {
        for text in [
            "info",
            "WARN",
            "off",
            "info,hyper=debug",
            "detcon_server::http=trace",
            "detcon_server[request]=debug",
        ] {
            assert_eq!(filter(text), Ok(text.to_owned()));
        }
        for text in ["warning", "inf", "info,verbose", "", "a=loud"] {
            assert!(filter(text).unwrap_err().contains("warn"), "{text}");
        }
    }
}
