// SPDX-License-Identifier: Apache-2.0
//! Takes FUSE messages from the channels and answers them.
//!
//! Both headers begin with the message's length, so a channel is a plain byte stream. The library
//! that does the work writes each answer itself; an error of its means that the message was none,
//! and that nobody can say whether it was answered. Then this process ends, and the pod with it.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;

use fuse_backend_rs::transport::{FuseBuf, FuseDevWriter, Reader};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::jail;
use crate::volumes::Volumes;

/// struct fuse_in_header.
const HEADER: usize = 40;
/// Longest message, either way: 256 pages of data, and a page of headers.
const MAX_MESSAGE: usize = (256 + 1) * 4096;

const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;
/// No extended attribute is longer, nor are all names of a file's: XATTR_SIZE_MAX and XATTR_LIST_MAX
/// of Linux' include/uapi/linux/limits.h.
const MAX_XATTR: u32 = 65_536;

/// Why serving has come to an end before the VMM wanted it.
#[derive(Debug)]
pub enum ServeError {
    /// The system refused something.
    Io(io::Error),
    /// The guest sent what is no FUSE message.
    Message(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(out),
            Self::Message(what) => write!(out, "the guest sent no FUSE message: {what}"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Serves every channel in a thread of its own, until the first of them is over.
///
/// # Errors
///
/// The first of them was over before the VMM closed it.
pub fn all(server: &Arc<Volumes>, channels: Vec<UnixStream>) -> Result<(), ServeError> {
    let (over, outcomes) = mpsc::channel();
    for channel in channels {
        let (server, over) = (Arc::clone(server), over.clone());
        let serve = move || {
            let outcome = match jail::lock() {
                Ok(()) => one(&server, &channel),
                Err(error) => Err(io::Error::other(error).into()),
            };
            // Nobody listens any more when another channel was over before.
            drop(over.send(outcome));
        };
        thread::Builder::new().name("serve".into()).spawn(serve)?;
    }
    jail::lock().map_err(io::Error::other)?;
    outcomes
        .recv()
        .map_err(|_| io::Error::other("no thread serves"))?
}

/// Serves one channel until its other end is closed.
///
/// # Errors
///
/// The channel's, or the guest sent what is no message.
pub fn one(server: &Volumes, channel: &UnixStream) -> Result<(), ServeError> {
    let mut messages = Messages::new(channel);
    let mut answer = vec![0; MAX_MESSAGE];
    while let Some(message) = messages.next()? {
        bound_answer(message);
        let _caller = caller::Caller::assume(message).map_err(io::Error::from)?;
        let reader = Reader::<()>::from_fuse_buffer(FuseBuf::new(message)).map_err(refused)?;
        let writer = FuseDevWriter::<()>::new(channel.as_raw_fd(), &mut answer).map_err(refused)?;
        server
            .handle_message(reader, writer.into(), None, None)
            .map_err(refused)?;
    }
    Ok(())
}

fn refused(error: impl fmt::Debug) -> ServeError {
    ServeError::Message(format!("{error:?}"))
}

/// Cuts a channel's bytes into messages.
struct Messages<'a> {
    channel: &'a UnixStream,
    buffer: Vec<u8>,
    /// The bytes `start..end` of the buffer have come and were not taken.
    start: usize,
    end: usize,
}

impl<'a> Messages<'a> {
    fn new(channel: &'a UnixStream) -> Self {
        Self {
            channel,
            buffer: vec![0; MAX_MESSAGE],
            start: 0,
            end: 0,
        }
    }

    /// The next message; `None` when the stream is over between two of them.
    fn next(&mut self) -> Result<Option<&mut [u8]>, ServeError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let mut length = HEADER;
        loop {
            if self.end >= HEADER {
                length = message_length(&self.buffer)?;
            }
            if self.end >= length {
                self.start = length;
                return Ok(Some(&mut self.buffer[..length]));
            }
            match recv(
                self.channel,
                &mut self.buffer[self.end..],
                RecvFlags::empty(),
            ) {
                Ok((0, _)) if self.end == 0 => return Ok(None),
                Ok((0, _)) => return Err(ServeError::Message("it is torn".into())),
                Ok((count, _)) => self.end += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(ServeError::Io(error.into())),
            }
        }
    }
}

/// Asks for no more than the file can have, as the host's kernel does: the library allocates what it is
/// asked for, which could be all that this process may have. Other sizes it checks itself.
fn bound_answer(message: &mut [u8]) {
    if message.len() >= HEADER + 4 && [GETXATTR, LISTXATTR].contains(&word(message, 4)) {
        let size = word(message, HEADER).min(MAX_XATTR);
        message[HEADER..HEADER + 4].copy_from_slice(&size.to_le_bytes());
    }
}

fn message_length(bytes: &[u8]) -> Result<usize, ServeError> {
    let length = word(bytes, 0) as usize;
    if (HEADER..=MAX_MESSAGE).contains(&length) {
        Ok(length)
    } else {
        Err(ServeError::Message(format!("it has {length} bytes")))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

mod caller;

#[cfg(test)]
mod tests;
