// SPDX-License-Identifier: Apache-2.0
//! The connection that the host's calls come over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use lightvm_protocol::agent::{AgentMessage, HostMessage, agent_message::Body};
use lightvm_protocol::framing::{FrameDecoder, encode_frame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};

use crate::uevents::timespec;

/// The control connection. It never blocks: what the host does not take yet waits here.
#[derive(Debug)]
pub struct Control {
    stream: OwnedFd,
    decoder: FrameDecoder,
    outgoing: Vec<u8>,
}

impl Control {
    /// Takes over a connected stream.
    pub fn new(stream: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&stream, fcntl_getfl(&stream)? | OFlags::NONBLOCK)?;
        Ok(Self {
            stream,
            decoder: FrameDecoder::new(),
            outgoing: Vec::new(),
        })
    }

    /// Queues a message; `id` 0 is an event.
    pub fn send(&mut self, id: u64, body: Body) -> io::Result<()> {
        let message = AgentMessage {
            id,
            body: Some(body),
        };
        encode_frame(&message, &mut self.outgoing).map_err(io::Error::other)
    }

    /// Reads what has arrived. An error means that the connection is over.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            match read(&self.stream, &mut *scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.decoder.push(&scratch[..length]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next call that has arrived.
    pub fn next_call(&mut self) -> io::Result<Option<HostMessage>> {
        self.decoder.next_message().map_err(io::Error::other)
    }

    /// Writes what the host takes at once.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match write(&self.stream, &self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes everything, at most until `deadline`.
    pub fn flush_until(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            self.flush()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if self.outgoing.is_empty() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            poll(
                &mut [PollFd::new(&self.stream, PollFlags::OUT)],
                Some(&timespec(left)),
            )?;
        }
    }

    /// What to wait for.
    pub fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let out = if self.outgoing.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        (self.stream.as_fd(), PollFlags::IN | out)
    }
}
