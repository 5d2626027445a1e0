// SPDX-License-Identifier: Apache-2.0
//! virtio-vsock: stream connections that end inside the VMM process.

use std::any::Any;
use std::fmt;

use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// A connection, never reused in a guest's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How a vsock device is set up.
#[derive(Clone, Debug)]
pub struct VsockOptions {
    /// The guest's context id, 3 or more.
    pub guest_cid: u32,
    /// Host ports that the guest may connect to.
    pub ports: Vec<u32>,
    /// Connections that may be open at once; more are reset.
    pub max_connections: usize,
    /// Bytes of each connection that are kept until the VMM takes them; the guest's credit.
    pub receive_buffer: u32,
    /// Bytes of each connection that [`Vsock::send`] takes before the guest has room for them.
    pub send_buffer: u32,
}

impl VsockOptions {
    /// Settings for these ports: 256 connections, 64 KiB each way.
    pub fn new(guest_cid: u32, ports: &[u32]) -> Self {
        Self {
            guest_cid,
            ports: ports.to_vec(),
            max_connections: 256,
            receive_buffer: 65536,
            send_buffer: 65536,
        }
    }
}

/// What happened to a connection. After `Closed` its id is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VsockEvent {
    /// The guest opened a connection to one of the ports.
    Opened {
        /// The new connection.
        connection: ConnectionId,
        /// The host port that it is for.
        port: u32,
    },
    /// There is something to take with [`Vsock::received`] that was not there before.
    Data {
        /// Whose.
        connection: ConnectionId,
    },
    /// [`Vsock::send`] takes bytes again after it took less than it was given.
    Writable {
        /// Whose.
        connection: ConnectionId,
    },
    /// The guest sends nothing more. What it sent before is still to be taken.
    Shutdown {
        /// Whose.
        connection: ConnectionId,
    },
    /// The connection is over. With `reset`, without good order: what was buffered is lost.
    /// Without, both sides had shut down and everything had been taken.
    Closed {
        /// Whose.
        connection: ConnectionId,
        /// Whether it ended without good order.
        reset: bool,
    },
}

/// Why nothing can be sent on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No such connection (any more).
    Unknown,
    /// The VMM has shut it down, or the guest said that it receives nothing more.
    Shutdown,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "the connection does not exist",
            Self::Shutdown => "the connection takes nothing more",
        })
    }
}

impl std::error::Error for SendError {}

/// The vsock device.
pub struct Vsock;

impl Vsock {
    /// A device without connections.
    pub fn new(_options: VsockOptions) -> Self {
        todo!()
    }

    /// Bytes that came and were not taken; empty for an unknown connection.
    pub fn received(&mut self, _connection: ConnectionId) -> &[u8] {
        todo!()
    }

    /// Takes the first `count` bytes of [`Vsock::received`]: the guest may send as many again.
    pub fn consume(&mut self, _connection: ConnectionId, _count: usize) {
        todo!()
    }

    /// Queues bytes for the guest and returns how many were taken; [`VsockEvent::Writable`]
    /// follows when there is room again after a short count.
    pub fn send(&mut self, _connection: ConnectionId, _bytes: &[u8]) -> Result<usize, SendError> {
        todo!()
    }

    /// Sends nothing more, after what was queued. The other direction stays open.
    pub fn shutdown(&mut self, _connection: ConnectionId) {
        todo!()
    }

    /// Ends the connection at once, both ways; no event follows.
    pub fn reset_connection(&mut self, _connection: ConnectionId) {
        todo!()
    }
}

impl Device for Vsock {
    fn kind(&self) -> u32 {
        todo!()
    }
    fn queue_sizes(&self) -> &'static [u16] {
        todo!()
    }
    fn config(&self) -> Vec<u8> {
        todo!()
    }
    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}
    fn process(
        &mut self,
        _queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        todo!()
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
