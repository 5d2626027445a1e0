// SPDX-License-Identifier: Apache-2.0
//! Connections to the host. The guest opens all of them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use lightvm_protocol::agent::StreamHello;
use lightvm_protocol::framing::encode_frame;
use lightvm_protocol::{AGENT_STREAM_PORT, HOST_CID};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};

/// Opens connections to the ports of the host.
pub trait Host {
    /// A connected stream.
    fn connect(&self, port: u32) -> io::Result<OwnedFd>;
}

/// Opens a stream connection and says what it carries.
pub fn open_stream(host: &dyn Host, hello: &StreamHello) -> io::Result<OwnedFd> {
    let connection = host.connect(AGENT_STREAM_PORT)?;
    let mut frame = Vec::new();
    encode_frame(hello, &mut frame).map_err(io::Error::other)?;
    let mut rest = &frame[..];
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&connection, rest)?..];
    }
    Ok(connection)
}

/// The host behind the guest's vsock device.
#[derive(Clone, Copy, Debug, Default)]
pub struct VsockHost;

impl Host for VsockHost {
    /// Waits for the VMM to accept, which the kernel ends after two seconds.
    fn connect(&self, port: u32) -> io::Result<OwnedFd> {
        let stream = socket(
            AddressFamily::Vsock,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        connect(stream.as_raw_fd(), &VsockAddr::new(HOST_CID, port))?;
        Ok(stream)
    }
}
