// SPDX-License-Identifier: Apache-2.0
//! Requests and their answers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::message::{ACKNOWLEDGE, DUMP, Request, answers, malformed, number};

/// NLMSG_ERROR: an errno as a negative number, 0 for success.
const ERROR: u16 = 2;
/// NLMSG_DONE: the end of a dump.
const DONE: u16 = 3;
/// What the kernel sends at once at most.
const BUFFER: usize = 64 << 10;

/// A socket to the kernel's side of one network namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or has no netlink.
    pub fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Has something changed; `flags` are added to REQUEST and ACKNOWLEDGE.
    pub(crate) fn change(&mut self, request: Request) -> io::Result<()> {
        let sequence = self.send(request)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = self.receive(&mut buffer)?;
            for answer in answers(&buffer[..length])? {
                if answer.sequence == sequence && answer.kind == ERROR {
                    return outcome(answer.body);
                }
            }
        }
    }

    /// Asks for a list; `read` turns each message's body into what it means, or into nothing.
    pub(crate) fn list<T>(
        &mut self,
        request: Request,
        read: impl Fn(&[u8]) -> io::Result<Option<T>>,
    ) -> io::Result<Vec<T>> {
        let sequence = self.send(request)?;
        let mut list = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = self.receive(&mut buffer)?;
            for answer in answers(&buffer[..length])? {
                match answer.kind {
                    _ if answer.sequence != sequence => {}
                    DONE => return Ok(list),
                    ERROR => outcome(answer.body)?,
                    _ => list.extend(read(answer.body)?),
                }
            }
        }
    }

    fn send(&mut self, request: Request) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.bytes(self.sequence);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        Ok(self.sequence)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // The kernel has answered when sendto returns: nothing waits here.
        let length = recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?;
        if length == 0 {
            Err(malformed())
        } else {
            Ok(length)
        }
    }
}

/// Flags of a request that changes something.
pub(crate) const CHANGE: u16 = ACKNOWLEDGE;
/// Flags of a request for a list.
pub(crate) const LIST: u16 = DUMP;

fn outcome(body: &[u8]) -> io::Result<()> {
    match number(body, 0)? as i32 {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_error_or_none() {
        assert!(outcome(&0i32.to_ne_bytes()).is_ok());
        let refused = outcome(&(-1i32).to_ne_bytes()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(1));
        assert!(outcome(&[]).is_err());
    }
}
