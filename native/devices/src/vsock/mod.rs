// SPDX-License-Identifier: Apache-2.0
//! virtio-vsock (virtio 1.2, 5.10): stream connections that end inside the VMM process.
//!
//! The guest opens every connection, to one of a few host ports. Packets travel on two queues, one
//! a chain: a header of 44 bytes, then data.
//!
//! Credit. Each side says in every packet how large its buffer is (buf_alloc) and how much it has
//! taken out of it (fwd_cnt); the other keeps `sent - fwd_cnt <= buf_alloc`. Our buffer is emptied
//! by [`Vsock::consume`], so a slow consumer in the VMM stops the guest's writer and costs no
//! memory; a guest that sends more than its credit is reset. Theirs is respected by keeping what
//! [`Vsock::send`] took in a bounded buffer until there is credit.
//!
//! ```text
//!            REQUEST             SHUTDOWN (sends no more)      all consumed
//!   guest ──────────> open ───────────────────────────> draining ─────────> closed
//!                      │  RST, too much data, reset                           ^
//!                      └──────────────────────────────────────────────────────┘
//! ```

mod connection;
mod connections;
mod device;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

pub use device::Vsock;

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
    /// More came than there was at the last [`Vsock::received`].
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
    /// The connection is over. With `reset`, not in good order: what was not taken is lost.
    /// Without, the guest had closed it and everything that it sent was taken.
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
    /// The VMM has shut it down, or the guest receives nothing more.
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
