// SPDX-License-Identifier: Apache-2.0
//! virtio-fs (virtio 1.2, 5.11): FUSE messages between the guest and a file server.
//!
//! A request is one chain: the message to the server, and room for the answer. FORGET and its like
//! have no answer. This device opens no file and understands no more of a message than its length,
//! its number, and whether an answer follows; the rest is between the guest and the server, which
//! is a process of its own and sees no guest memory.
//!
//! ```text
//!    hiprio ──┐                        ┌── lane 0 ──► a thread of the file server
//!             ├─ one request at a time ┼── lane 1 ──► another
//!   request ──┘        per lane        └── …
//! ```
//!
//! Both headers begin with the message's length, so that a lane can be a plain byte stream. While
//! every lane is busy, requests wait in the guest's queues: nothing is stored here.

mod device;
mod lane;
#[cfg(test)]
mod tests;
mod wire;

pub use device::{Filesystem, FilesystemError};
pub use lane::Channel;
