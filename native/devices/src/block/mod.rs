// SPDX-License-Identifier: Apache-2.0
//! virtio-blk (virtio 1.2, 5.2), read-only, backed by a file.
//!
//! A request is one chain: a 16-byte header that the device reads, data, and one status byte that
//! the device writes, always the last writable one.
//!
//! ```text
//!   readable               writable
//!  ┌──────┬─────┬────────┐┌──────────────────────┬────────┐
//!  │ type │  0  │ sector ││ data (IN, GET_ID)    │ status │
//!  └──────┴─────┴────────┘└──────────────────────┴────────┘
//! ```

mod device;
#[cfg(test)]
mod tests;
mod wire;

pub use device::{Block, BlockError};
