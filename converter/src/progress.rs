//! What is going on, for whoever waits at a terminal: shown once a command has taken a second, gone when it is done.
//! Where standard error is no terminal nothing is shown.

use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a command runs unseen.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// Every bar of the process, so that two at a time do not write over each other.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::hidden()));

/// A bar that goes when it is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Hangs up on whoever waits to show the bars.
    _shown_later: Option<mpsc::Sender<()>>,
}

/// A spinner with the seconds that `what` has taken, and from the first second on every other bar as well.
#[must_use]
pub fn working(what: &'static str) -> Progress {
    let (hang_up, waiting) = mpsc::channel();
    thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            BARS.set_draw_target(ProgressDrawTarget::stderr());
        }
    });
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}");
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    Progress {
        bar,
        _shown_later: Some(hang_up),
    }
}

/// A bar of `length` things to do.
#[must_use]
pub(crate) fn counting(what: &'static str, length: usize) -> Progress {
    let bar = ProgressBar::new(length as u64);
    let bar = styled(bar, "{bar:32} {msg}, {pos} of {len}, {eta} left");
    bar.set_message(what);
    Progress::from(bar)
}

/// A bar of bytes, of `length` where it is known.
#[must_use]
pub(crate) fn receiving(length: Option<u64>) -> Progress {
    Progress::from(match length {
        Some(length) => styled(
            ProgressBar::new(length),
            "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => styled(
            ProgressBar::new_spinner(),
            "{spinner} {bytes}, {bytes_per_sec}",
        ),
    })
}

/// Does `print` with no bar on the screen.
pub fn suspended<T>(print: impl FnOnce() -> T) -> T {
    BARS.suspend(print)
}

impl Progress {
    /// One more is done.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// So many are done.
    pub(crate) fn reach(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl From<ProgressBar> for Progress {
    fn from(bar: ProgressBar) -> Self {
        Self {
            bar,
            _shown_later: None,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
    }
}

fn styled(bar: ProgressBar, template: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    BARS.add(bar.with_style(style))
}
