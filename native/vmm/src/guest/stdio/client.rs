// SPDX-License-Identifier: Apache-2.0
use std::io;

use lightvm_devices::ConnectionId;

use super::super::link::GuestLink;
use crate::poller::{Interest, PolledSocket, Token};

/// Bytes that are moved from a client to the guest in one step.
const CHUNK: usize = 16 * 1024;

/// A client's end of a stream.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PolledSocket,
    /// What it is waited for: bytes from it, room for bytes to it.
    interest: Interest,
    /// Bytes for the guest that came with the hello or that it has not taken yet.
    unsent: Vec<u8>,
    /// The client sends nothing more.
    ended: bool,
    /// With its input, the process's input ends.
    ends_stdin: bool,
}

impl Client {
    /// A client that has said hello, and perhaps more.
    pub(crate) fn new(socket: PolledSocket, unsent: Vec<u8>, ends_stdin: bool) -> Self {
        Self {
            socket,
            interest: Interest::READ,
            unsent,
            ended: false,
            ends_stdin,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.socket.token()
    }

    pub(super) fn ends_stdin(&self) -> bool {
        self.ends_stdin
    }

    /// Only a hang-up is of interest until there is someone to read for.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.wait_for(Interest::default())
    }

    /// Sends what the socket takes and waits for room when that is not all.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.send(&bytes[sent..])? {
                0 => break,
                count => sent += count,
            }
        }
        self.wait_for(Interest {
            write: sent < bytes.len(),
            ..self.interest
        })?;
        Ok(sent)
    }

    /// Sends nothing more.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.socket.shut_down_writing()
    }

    /// After a hang-up, which would be reported again and again: what it has sent before is still
    /// there and is read without being waited for.
    pub(super) fn unwatch(&mut self) -> io::Result<()> {
        self.socket.unwatch()
    }

    /// Moves bytes to the guest; true when the client has ended and the guest has taken all.
    pub(super) fn feed(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
    ) -> io::Result<bool> {
        loop {
            if !self.unsent.is_empty() {
                let count = guest.send(id, &self.unsent).map_err(io::Error::other)?;
                self.unsent.drain(..count);
                if !self.unsent.is_empty() {
                    // The guest says when it has room.
                    self.read(false)?;
                    return Ok(false);
                }
            }
            if self.ended {
                self.read(false)?;
                return Ok(true);
            }
            let mut buffer = [0; CHUNK];
            match self.socket.receive(&mut buffer)? {
                None => {
                    self.read(true)?;
                    return Ok(false);
                }
                Some(0) => self.ended = true,
                Some(count) => self.unsent.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn read(&mut self, read: bool) -> io::Result<()> {
        self.wait_for(Interest {
            read,
            ..self.interest
        })
    }

    fn wait_for(&mut self, interest: Interest) -> io::Result<()> {
        self.interest = interest;
        self.socket.wait_for(interest)
    }
}
