// SPDX-License-Identifier: Apache-2.0
//! virtio-blk (virtio 1.2, 5.2), backed by a file or a block device of the host.
//!
//! A request is one chain: a 16-byte header that the device reads, data, and one status byte that
//! the device writes, always the last writable one.
//!
//! ```text
//!   readable                            writable
//!  ┌──────┬─────┬────────┬────────────┐┌──────────────────────┬────────┐
//!  │ type │  0  │ sector │ data (OUT) ││ data (IN, GET_ID)    │ status │
//!  └──────┴─────┴────────┴────────────┘└──────────────────────┴────────┘
//! ```
//!
//! A writable disk has a cache that may be lost, dom0's page cache: FLUSH is what makes writes last.

mod device;
mod disk;
#[cfg(test)]
mod tests;
mod wire;

pub use device::Block;
pub use disk::{Access, BlockError};
