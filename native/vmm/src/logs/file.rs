// SPDX-License-Identifier: Apache-2.0
//! One container's log file, which may have no room for a while.
//!
//! ```text
//!              a write fails                        all is written
//!   writable ────────────────► stuck ── retry ──► ─────────────────► writable
//!                                ▲       │ it fails again: a longer pause
//!                                └───────┘
//! ```
//!
//! A full disk takes the first part of a write, which may end within a line. That line's rest goes
//! where its start is, also when the log has been rotated meanwhile: no file gets half a line, and no
//! line is in two files. See [`Sink::may_take_more`] for the two cases in which that can't be.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// From a failed write to the next one. Room may come at once, when a rotated log is removed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The pause is doubled until it is as long as this: a write that fails costs next to nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a log is written to.
pub(crate) trait Sink: Write {
    /// Whether a line whose start is here, and whose rest met `error`, is to wait for room here
    /// although the log goes on in `next`. Not when nobody can find this file any more, nor when room
    /// for `next` says nothing about room here, nor when the error is of another kind: then the line
    /// is written anew in `next`, and its start stays behind.
    fn may_take_more(&self, error: &io::Error, next: &Self) -> bool;
}

impl Sink for File {
    fn may_take_more(&self, error: &io::Error, next: &Self) -> bool {
        let full = [Errno::NOSPC, Errno::DQUOT].contains(&errno(error));
        let files = self.metadata().and_then(|old| Ok((old, next.metadata()?)));
        full && files.is_ok_and(|(old, next)| old.nlink() > 0 && old.dev() == next.dev())
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// How a write ended.
#[derive(Debug)]
pub(crate) enum Written {
    /// All is in the file.
    All,
    /// The file takes no more. The error is there when that is news.
    Stuck(Option<io::Error>),
    /// All is in the file after it had been stuck.
    Again,
}

/// The lines of one container on their way into a file.
#[derive(Debug)]
pub(crate) struct LogFile<F = File> {
    file: F,
    /// Where the log goes on once the line that `file` has in part is whole.
    next: Option<F>,
    /// Whole lines that the file does not have, but for the start of the first.
    unwritten: Vec<u8>,
    /// Bytes of that start.
    started: usize,
    stuck: Option<Stuck>,
}

#[derive(Debug)]
struct Stuck {
    retry: Instant,
    pause: Duration,
}

impl<F: Sink> LogFile<F> {
    /// Appends to `file`.
    pub(crate) fn new(file: F) -> Self {
        Self {
            file,
            next: None,
            unwritten: Vec::new(),
            started: 0,
            stuck: None,
        }
    }

    /// When [`Self::flush`] should be tried again; `None` unless the file is stuck.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.stuck.as_ref().map(|stuck| stuck.retry)
    }

    /// Lines to be written with the next [`Self::flush`] are appended here, whole ones.
    pub(crate) fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.unwritten
    }

    /// Goes on in another file, whether or not this one is stuck.
    pub(crate) fn replace(&mut self, file: F) {
        if self.started == 0 {
            self.file = file;
        } else {
            self.next = Some(file);
        }
    }

    /// Writes what there is to write, as far as the file takes it.
    pub(crate) fn flush(&mut self) -> Written {
        let before = self.left();
        match self.write() {
            Ok(()) if self.stuck.take().is_some() => Written::Again,
            Ok(()) => Written::All,
            Err(error) => {
                let pause = match &self.stuck {
                    Some(stuck) if self.left() == before => LONGEST_PAUSE.min(2 * stuck.pause),
                    _ => FIRST_PAUSE,
                };
                let retry = Instant::now() + pause;
                let known = self.stuck.replace(Stuck { retry, pause }).is_some();
                Written::Stuck((!known).then_some(error))
            }
        }
    }

    fn left(&self) -> usize {
        self.unwritten.len() - self.started
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(next) = &self.next {
            let end = self.unwritten.iter().position(|&byte| byte == b'\n');
            let end = end.map_or(self.unwritten.len(), |last| last + 1);
            if let Err(error) =
                write_up_to(&mut self.file, &self.unwritten[..end], &mut self.started)
            {
                if self.file.may_take_more(&error, next) {
                    return Err(error);
                }
                self.started = 0;
            }
            self.forget_written();
        }
        if let Some(next) = self.next.take() {
            self.file = next;
        }
        let written = write_up_to(&mut self.file, &self.unwritten, &mut self.started);
        self.forget_written();
        written
    }

    /// Of what is written, only the start of a line is of interest.
    fn forget_written(&mut self) {
        let written = &self.unwritten[..self.started];
        let lines = written.iter().rposition(|&byte| byte == b'\n');
        let lines = lines.map_or(0, |last| last + 1);
        self.unwritten.drain(..lines);
        self.started -= lines;
    }
}

/// Writes `bytes` from `written` on, which says how far it came.
fn write_up_to(file: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match file.write(&bytes[*written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// A disk with room for so many bytes, and one file on it.
    #[derive(Clone, Debug, Default)]
    struct Disk(Rc<RefCell<State>>);

    #[derive(Debug, Default)]
    struct State {
        room: usize,
        bytes: Vec<u8>,
        writes: u32,
        /// The file is removed, or broken: what is not here will never be.
        hopeless: bool,
    }

    impl Disk {
        fn with_room(room: usize) -> Self {
            let disk = Self::default();
            disk.give(room);
            disk
        }

        fn give(&self, room: usize) {
            self.0.borrow_mut().room += room;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().bytes.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.borrow_mut();
            state.writes += 1;
            // Every other write is interrupted before it has done anything.
            if state.writes % 2 == 0 {
                return Err(ErrorKind::Interrupted.into());
            }
            if state.room == 0 {
                return Err(Errno::NOSPC.into());
            }
            let count = bytes.len().min(state.room);
            state.room -= count;
            state.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn may_take_more(&self, _error: &io::Error, _next: &Self) -> bool {
            !self.0.borrow().hopeless
        }
    }

    fn write(log: &mut LogFile<Disk>, text: &str) -> Written {
        log.lines().extend_from_slice(text.as_bytes());
        log.flush()
    }

    #[test]
    fn a_line_goes_on_where_the_disk_was_full() {
        let disk = Disk::with_room(6);
        let mut log = LogFile::new(disk.clone());
        assert!(matches!(
            write(&mut log, "one\ntwo\n"),
            Written::Stuck(Some(_))
        ));
        assert!(matches!(log.flush(), Written::Stuck(None)));
        disk.give(1);
        assert!(matches!(log.flush(), Written::Stuck(None)));
        assert_eq!(disk.text(), "one\ntwo");
        disk.give(100);
        assert!(matches!(write(&mut log, "three\n"), Written::Again));
        assert_eq!(disk.text(), "one\ntwo\nthree\n");
        assert!(log.retry_at().is_none());
        assert!(matches!(write(&mut log, "four\n"), Written::All));
    }

    #[test]
    fn pauses_grow_until_something_is_written() {
        let disk = Disk::default();
        let mut log = LogFile::new(disk.clone());
        let mut pause = |text: &str| {
            let now = Instant::now();
            assert!(matches!(write(&mut log, text), Written::Stuck(_)));
            log.retry_at().unwrap() - now
        };
        assert!(pause("one\n") < 2 * FIRST_PAUSE);
        let (mut last, mut now) = (Duration::ZERO, pause(""));
        while last + FIRST_PAUSE < now {
            (last, now) = (now, pause(""));
        }
        assert!(LONGEST_PAUSE <= now && now < LONGEST_PAUSE + FIRST_PAUSE);
        disk.give(2);
        assert!(pause("") < 2 * FIRST_PAUSE);
    }

    #[test]
    fn a_line_that_has_begun_ends_in_its_own_file() {
        let [old, new] = [Disk::with_room(6), Disk::with_room(100)];
        let mut log = LogFile::new(old.clone());
        write(&mut log, "one\ntwo\nthree\n");
        log.replace(new.clone());
        assert!(matches!(log.flush(), Written::Stuck(None)));
        assert_eq!(new.text(), "");
        old.give(100);
        assert!(matches!(log.flush(), Written::Again));
        assert_eq!(
            (old.text(), new.text()),
            ("one\ntwo\n".into(), "three\n".into())
        );
    }

    #[test]
    fn a_line_that_cannot_end_in_its_file_is_written_anew() {
        let [old, new] = [Disk::with_room(6), Disk::with_room(100)];
        let mut log = LogFile::new(old.clone());
        write(&mut log, "one\ntwo\nthree\n");
        old.0.borrow_mut().hopeless = true;
        log.replace(new.clone());
        assert!(matches!(log.flush(), Written::Again));
        assert_eq!(
            (old.text(), new.text()),
            ("one\ntw".into(), "two\nthree\n".into())
        );
    }

    #[test]
    fn lines_that_have_not_begun_go_to_the_new_file() {
        let [old, new] = [Disk::with_room(4), Disk::with_room(100)];
        let mut log = LogFile::new(old.clone());
        write(&mut log, "one\ntwo\n");
        log.replace(new.clone());
        assert!(matches!(log.flush(), Written::Again));
        assert_eq!((old.text(), new.text()), ("one\n".into(), "two\n".into()));
    }

    #[test]
    fn only_room_on_the_same_disk_is_waited_for() {
        use crate::test_files::TestFile;
        let [old, new] = ["log-same-old", "log-same-new"].map(TestFile::new);
        let (old_file, new_file) = (old.append(), new.append());
        let [full, broken] = [Errno::NOSPC, Errno::IO].map(io::Error::from);
        assert!(old_file.may_take_more(&full, &new_file));
        assert!(!old_file.may_take_more(&broken, &new_file));
        let elsewhere = File::options().write(true).open("/dev/full").unwrap();
        assert!(!old_file.may_take_more(&full, &elsewhere));
        drop(old);
        assert!(!old_file.may_take_more(&full, &new_file));
    }
}
