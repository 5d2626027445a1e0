// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way between a process and the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::net::{Shutdown, shutdown};

/// One direction of one stream. It holds what the sink has not taken and reads no more until then,
/// so a slow reader slows the writer down.
#[derive(Debug)]
pub struct Relay {
    /// `None` once there is nothing more to come from it: whoever writes to it is told.
    source: Option<OwnedFd>,
    /// `None` when nobody wants the bytes any more.
    sink: Option<OwnedFd>,
    waiting: Vec<u8>,
    /// What to do when the source has no bytes.
    on_empty: OnEmpty,
    on_lost: OnLost,
}

/// What becomes of the source when nobody wants its bytes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// They are dropped: a process that writes is not to be stopped.
    Discard,
    /// It is closed, so that the writer hears of it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnEmpty {
    Wait,
    /// The process has ended: what it wrote is all there already, and at most this much.
    Finish(usize),
}

/// Reads in a row before others get their turn.
const MAX_READS: usize = 8;

/// Most bytes that a pipe or terminal can hold for us when its process ends.
const MAX_LEFTOVER_BYTES: usize = 1 << 20;

impl Relay {
    /// Connects a source to a sink; neither will block.
    pub fn new(source: OwnedFd, sink: OwnedFd, on_lost: OnLost) -> Result<Self, Errno> {
        for end in [&source, &sink] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        let waiting = Vec::new();
        Ok(Self {
            source: Some(source),
            sink: Some(sink),
            waiting,
            on_empty: OnEmpty::Wait,
            on_lost,
        })
    }

    /// All bytes have been passed on and the sink has been told the end, or nobody wants them.
    pub fn is_finished(&self) -> bool {
        self.source.is_none()
    }

    /// The process has ended: the stream does not outlive what is in it now, even if a process
    /// that it left behind holds it open.
    pub fn end_when_empty(&mut self) {
        self.on_empty = OnEmpty::Finish(MAX_LEFTOVER_BYTES);
    }

    /// What to wait for before the next [`Relay::wake`], in this order: whoever is to move next,
    /// and the loss of the sink when that matters.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let next = match (&self.source, &self.sink) {
            (None, _) => None,
            (_, Some(sink)) if !self.waiting.is_empty() => Some((sink.as_fd(), PollFlags::OUT)),
            (Some(source), _) => Some((source.as_fd(), PollFlags::IN)),
        };
        let lost = self.sink.as_ref().filter(|_| self.watches_sink());
        let lost = lost.map(|sink| (sink.as_fd(), PollFlags::RDHUP));
        next.into_iter().chain(lost)
    }

    fn watches_sink(&self) -> bool {
        self.source.is_some() && self.on_lost == OnLost::Close
    }

    /// Moves what can be moved after poll has reported `happened` for [`Relay::interests`].
    pub fn wake(&mut self, happened: &[PollFlags], scratch: &mut [u8]) {
        if self.watches_sink() && happened.last().is_some_and(|flags| !flags.is_empty()) {
            self.lose_sink();
        }
        if happened.iter().any(|flags| !flags.is_empty()) {
            self.pump(scratch);
        }
    }

    /// Moves what can be moved at once. `scratch` is overwritten.
    pub fn pump(&mut self, scratch: &mut [u8]) {
        let mut reads = 0;
        while self.flush() {
            let Some(source) = &self.source else { return };
            match (self.on_empty, reads) {
                (OnEmpty::Wait, MAX_READS) => return,
                (OnEmpty::Finish(0), _) => return self.finish(),
                _ => reads += 1,
            }
            match read(source, &mut *scratch) {
                Ok(0) => self.finish(),
                Ok(length) => {
                    if let OnEmpty::Finish(left) = &mut self.on_empty {
                        *left = left.saturating_sub(length);
                    }
                    self.pass_on(&scratch[..length]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.on_empty == OnEmpty::Wait => return,
                // EIO is how a terminal says that nobody has its other end open. Whatever else
                // a source says, there will be no more of it.
                Err(_) => self.finish(),
            }
        }
    }

    /// Sends what waits; false while the sink takes no more.
    fn flush(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        self.pass_on(&waiting);
        self.waiting.is_empty()
    }

    fn pass_on(&mut self, mut bytes: &[u8]) {
        while let (Some(sink), false) = (&self.sink, bytes.is_empty()) {
            match write(sink, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.waiting.extend_from_slice(bytes);
                    return;
                }
                Err(_) => self.lose_sink(),
            }
        }
    }

    fn lose_sink(&mut self) {
        self.sink = None;
        self.waiting.clear();
        if self.on_lost == OnLost::Close {
            self.source = None;
        }
    }

    fn finish(&mut self) {
        self.source = None;
        if let Some(sink) = self.sink.take() {
            // Only a connection has an end to announce; a pipe's end is its last close.
            match shutdown(&sink, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTSOCK | Errno::NOTCONN) => {}
                Err(error) => eprintln!("lightvm-agent: could not end a stream: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn relay_that(on_lost: OnLost) -> (File, Relay, UnixStream) {
        let (source, writer) = rustix::pipe::pipe().unwrap();
        let (sink, reader) = UnixStream::pair().unwrap();
        (
            writer.into(),
            Relay::new(source, sink.into(), on_lost).unwrap(),
            reader,
        )
    }

    fn relay() -> (File, Relay, UnixStream) {
        relay_that(OnLost::Discard)
    }

    #[test]
    fn passes_bytes_and_the_end() {
        let (mut writer, mut relay, mut reader) = relay();
        writer.write_all(b"hello").unwrap();
        relay.pump(&mut [0; 3]);
        assert!(!relay.is_finished());
        drop(writer);
        relay.pump(&mut [0; 3]);
        assert!(relay.is_finished());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn ends_with_its_process_though_the_source_is_open() {
        let (mut writer, mut relay, _reader) = relay();
        writer.write_all(b"last").unwrap();
        relay.end_when_empty();
        relay.pump(&mut [0; 64]);
        assert!(relay.is_finished());
    }

    #[test]
    fn waits_for_a_slow_reader() {
        let (mut writer, mut relay, mut reader) = relay();
        let (mut sent, mut received) = (0, 0);
        let mut buffer = vec![7; 32 * 1024];
        while relay.waiting.is_empty() {
            writer.write_all(&buffer).unwrap();
            sent += buffer.len();
            relay.pump(&mut [0; 16 * 1024]);
        }
        assert_eq!(relay.interests().next().unwrap().1, PollFlags::OUT);
        drop(writer);
        while received < sent {
            received += reader.read(&mut buffer).unwrap();
            relay.pump(&mut [0; 16 * 1024]);
        }
        assert!(relay.is_finished());
    }

    #[test]
    fn drops_what_nobody_reads() {
        let (mut writer, mut relay, reader) = relay();
        drop(reader);
        writer.write_all(b"into the void").unwrap();
        relay.pump(&mut [0; 64]);
        writer.write_all(b"still writable").unwrap();
        relay.pump(&mut [0; 64]);
        assert!(!relay.is_finished());
        drop(writer);
        relay.pump(&mut [0; 64]);
        assert!(relay.is_finished());
    }

    #[test]
    fn an_idle_writer_hears_that_nobody_reads() {
        let (mut writer, mut relay, reader) = relay_that(OnLost::Close);
        drop(reader);
        let mut watched: Vec<_> = relay
            .interests()
            .map(|(fd, flags)| rustix::event::PollFd::from_borrowed_fd(fd, flags))
            .collect();
        assert_eq!(rustix::event::poll(&mut watched, None), Ok(1));
        let happened: Vec<_> = watched.iter().map(|fd| fd.revents()).collect();
        relay.wake(&happened, &mut [0; 64]);
        assert!(relay.is_finished());
        assert_eq!(relay.interests().count(), 0);
        let error = writer.write_all(b"to whom").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
