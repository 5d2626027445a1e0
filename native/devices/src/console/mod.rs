// SPDX-License-Identifier: Apache-2.0
//! The Xen PV console ring, read only: what the guest prints.

use std::fmt;

use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Why the ring can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The ring's page is not page-aligned RAM.
    BadRing,
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the console ring's page is misplaced")
    }
}

impl std::error::Error for ConsoleError {}

/// What one [`ConsoleRing::drain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Whether the guest must be rung because there is room again.
    pub ring: bool,
    /// Bytes that were taken out of the ring.
    pub bytes: usize,
}

/// The back end of a Xen PV console.
pub struct ConsoleRing;

impl ConsoleRing {
    /// The ring at this guest-physical address.
    pub fn new(_memory: GuestMemoryMmap, _address: GuestAddress) -> Result<Self, ConsoleError> {
        todo!()
    }

    /// Appends what the guest printed to `sink`, at most one ring's worth (2048 bytes).
    pub fn drain(&mut self, _sink: &mut Vec<u8>) -> Drained {
        todo!()
    }
}
