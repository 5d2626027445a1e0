// SPDX-License-Identifier: Apache-2.0
//! Messages with open descriptors between the agent and the processes that it starts.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use lightvm_protocol::framing::{MAX_MESSAGE_BYTES, encode_frame};
use prost::Message;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Bytes of the length in front of each message; descriptors travel with them.
const LENGTH_BYTES: usize = 4;

/// Most descriptors with one message.
pub const MAX_DESCRIPTORS: usize = 5;

/// One end of a socket pair. A message is whole or an error: both ends are our own program.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// Our end, on which every operation has a deadline, and the end that the child gets.
    pub fn pair(deadline: Duration) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(deadline))?;
        ours.set_write_timeout(Some(deadline))?;
        Ok((Self(ours), theirs.into()))
    }

    /// The child's end: the agent puts it where standard input is.
    pub fn from_stdin() -> io::Result<Self> {
        Ok(Self(io::stdin().as_fd().try_clone_to_owned()?.into()))
    }

    /// Sends one message.
    pub fn send(&self, message: &impl Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut frame = Vec::new();
        encode_frame(message, &mut frame).map_err(io::Error::other)?;
        let (length, body) = frame.split_at(LENGTH_BYTES);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let sent = sendmsg(
            &self.0,
            &[IoSlice::new(length)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        (&self.0).write_all(&length[sent..])?;
        (&self.0).write_all(body)
    }

    /// Receives one message; `None` when the other end is closed.
    pub fn receive<M: Message + Default>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        let mut prefix = [0; LENGTH_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let received = recvmsg(
            &self.0,
            &mut [IoSliceMut::new(&mut prefix)],
            &mut control,
            flags,
        )?
        .bytes;
        if received == 0 {
            return Ok(None);
        }
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        (&self.0).read_exact(&mut prefix[received..])?;
        let length = u32::from_le_bytes(prefix) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(io::Error::other("message too long"));
        }
        let mut body = vec![0; length];
        (&self.0).read_exact(&mut body)?;
        Ok(Some((
            M::decode(&body[..]).map_err(io::Error::other)?,
            descriptors,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightvm_protocol::agent::Dns;

    #[test]
    fn carries_messages_and_descriptors() {
        let (ours, theirs) = Channel::pair(Duration::from_secs(5)).unwrap();
        let theirs = Channel(theirs.into());
        let message = Dns {
            servers: vec!["192.0.2.1".into()],
            ..Dns::default()
        };
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        ours.send(&message, &[writer.as_fd()]).unwrap();
        drop(writer);
        let (received, mut descriptors) = theirs.receive::<Dns>().unwrap().unwrap();
        assert_eq!(received, message);
        let writer = descriptors.pop().unwrap();
        rustix::io::write(&writer, b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "through");
        drop(ours);
        assert_eq!(theirs.receive::<Dns>().unwrap().map(|_| ()), None);
    }
}
