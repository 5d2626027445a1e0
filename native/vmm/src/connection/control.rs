// SPDX-License-Identifier: Apache-2.0
use std::fmt;
use std::io;

use lightvm_protocol::framing::{FrameDecoder, FrameError, MAX_MESSAGE_BYTES, encode_frame};
use lightvm_protocol::vmm::{ClientMessage, VmmMessage};

use crate::poller::{Interest, PolledSocket};

/// Bytes of answers that a client may leave unread.
const MAX_UNSENT: usize = 2 * MAX_MESSAGE_BYTES;

/// Bytes read in one step.
const CHUNK: usize = 16 * 1024;

/// Why a control connection is over.
#[derive(Debug)]
pub(crate) enum ControlError {
    /// The client closed it.
    Ended,
    /// The client sent what is no message.
    Protocol(FrameError),
    /// The client does not read its answers.
    Stuck,
    /// The socket failed.
    Io(io::Error),
}

impl fmt::Display for ControlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => out.write_str("the client closed it"),
            Self::Protocol(error) => error.fmt(out),
            Self::Stuck => out.write_str("the client does not read its answers"),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection that carries calls one way, answers and events the other.
#[derive(Debug)]
pub(crate) struct Control {
    socket: PolledSocket,
    decoder: FrameDecoder,
    unsent: Vec<u8>,
}

impl Control {
    /// A connection whose hello has been taken from `decoder`.
    pub(crate) fn new(socket: PolledSocket, decoder: FrameDecoder) -> Self {
        Self {
            socket,
            decoder,
            unsent: Vec::new(),
        }
    }

    /// The next call that has come; `None` when there is none yet.
    pub(crate) fn next_call(&mut self) -> Result<Option<ClientMessage>, ControlError> {
        loop {
            let message = self
                .decoder
                .next_message()
                .map_err(ControlError::Protocol)?;
            if message.is_some() {
                return Ok(message);
            }
            let mut buffer = [0; CHUNK];
            match self.socket.receive(&mut buffer)? {
                None => return Ok(None),
                Some(0) => return Err(ControlError::Ended),
                Some(count) => self.decoder.push(&buffer[..count]),
            }
        }
    }

    /// Sends a message, now or when there is room.
    pub(crate) fn send(&mut self, message: &VmmMessage) -> Result<(), ControlError> {
        if self.unsent.len() > MAX_UNSENT {
            return Err(ControlError::Stuck);
        }
        encode_frame(message, &mut self.unsent).map_err(ControlError::Protocol)?;
        self.flush()
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) -> Result<(), ControlError> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.socket.send(&self.unsent[sent..])? {
                0 => break,
                count => sent += count,
            }
        }
        self.unsent.drain(..sent);
        Ok(self.socket.wait_for(Interest {
            read: true,
            write: !self.unsent.is_empty(),
        })?)
    }
}
