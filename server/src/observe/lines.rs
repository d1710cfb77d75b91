//! Lines of text on their way out of the process, to standard error or standard output: whoever has one to write never
//! waits for whoever reads them.
//!
//! They are written on a thread of their own, in order. As many wait for it as there is room for; the next are dropped
//! and counted, and so is what cannot be written because nobody is left to read it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Most lines that wait to be written: what a server logs in a second or so at full load.
const WAITING: usize = 4096;
/// Longest wait for what waits, at the end.
const LAST: Duration = Duration::from_secs(1);

/// Lines of this process that were dropped.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of this process were dropped.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Writes lines on a thread of its own.
#[derive(Clone, Debug)]
pub struct LineWriter(SyncSender<Entry>);

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Asks to be told when what came before is written.
    Mark(SyncSender<()>),
}

impl LineWriter {
    /// Starts the thread, which writes to `out` until every writer is gone.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("lines".to_owned());
        thread.spawn(move || write_all(out, &receiver))?;
        Ok(Self(sender))
    }

    /// Writes a line, or drops it.
    pub fn say(&self, line: &str) {
        self.give(format!("{line}\n").into_bytes());
    }

    /// Waits until everything is written, but not for long.
    pub fn finish(&self) {
        let (mark, written) = sync_channel(1);
        if self.0.try_send(Entry::Mark(mark)).is_ok() {
            // Whether it came in time or not, there is nothing more to be done.
            let _ = written.recv_timeout(LAST);
        }
    }

    fn give(&self, line: Vec<u8>) {
        if self.0.try_send(Entry::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A line is given as a whole: what formats them writes each at once.
impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.give(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(mut out: impl Write, entries: &Receiver<Entry>) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Mark(mark) => {
                let _ = mark.send(()); // whoever asked may be gone
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Tells what it is given, and waits to be let on before each.
    struct Gate {
        go: Receiver<()>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.go.recv().map_err(gone)?;
            self.seen.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_holds_nobody_up_and_what_it_misses_is_counted() {
        let ((go, gate), (seen, lines)) = (channel(), channel());
        let writer = LineWriter::start(Gate { go: gate, seen }).unwrap();
        let (before, surplus) = (dropped(), 100);
        // One is with the reader, or not yet.
        for number in 0..=WAITING + surplus {
            writer.say(&number.to_string());
        }
        let missed = dropped() - before;
        assert!(missed >= surplus as u64, "{missed}");
        for _ in 0..=WAITING {
            go.send(()).unwrap();
        }
        let first: Vec<_> = lines.iter().take(3).collect();
        assert_eq!(first, [b"0\n", b"1\n", b"2\n"]);
    }

    #[test]
    fn nobody_who_reads_is_no_panic_and_counted() {
        let ((go, gate), (seen, _lines)) = (channel(), channel());
        drop(go);
        let writer = LineWriter::start(Gate { go: gate, seen }).unwrap();
        let before = dropped();
        writer.say("unheard");
        writer.finish();
        assert!(dropped() > before);
    }
}
