// SPDX-License-Identifier: Apache-2.0
//! The back end of a Xen PV console, output only: what the guest prints.
//!
//! One page that the guest reaches as well (struct xencons_interface, xen/include/public/io/
//! console.h). A producer writes bytes and grows its index, the consumer reads them and grows its
//! own; the indexes run freely and wrap at 32 bits.
//!
//! ```text
//!      0        1024               3072      3076      3080       3084
//!   ┌────────┬──────────────────┬─────────┬─────────┬──────────┬──────────┐
//!   │ in     │ out              │ in_cons │ in_prod │ out_cons │ out_prod │
//!   └────────┴──────────────────┴─────────┴─────────┴──────────┴──────────┘
//!     to guest  from the guest                        ours       guest's
//! ```

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::page::Page;

const OUT: usize = 1024;
const OUT_SIZE: usize = 2048;
const OUT_CONSUMED: usize = 3080;
const OUT_PRODUCED: usize = 3084;

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
    /// The guest's index made no sense: what was in the ring is lost, the ring works on.
    pub lost: bool,
}

/// The back end of a Xen PV console.
pub struct ConsoleRing {
    page: Page,
    /// Our index; never read back from the page.
    consumed: u32,
}

impl ConsoleRing {
    /// The ring at this guest-physical address; the page is still all zeros.
    pub fn new(memory: GuestMemoryMmap, address: GuestAddress) -> Result<Self, ConsoleError> {
        let page = Page::new(&Arc::new(memory), address).ok_or(ConsoleError::BadRing)?;
        Ok(Self { page, consumed: 0 })
    }

    /// Appends what the guest printed to `sink`, at most one ring's worth (2048 bytes). What comes
    /// meanwhile comes with another ring of the guest's.
    pub fn drain(&mut self, sink: &mut Vec<u8>) -> Drained {
        let produced = u32::from_le(self.page.load(OUT_PRODUCED));
        let waiting = produced.wrapping_sub(self.consumed) as usize;
        let lost = waiting > OUT_SIZE;
        let bytes = if lost { 0 } else { waiting };
        self.copy_out(bytes, sink);
        self.consumed = produced;
        self.page.store(OUT_CONSUMED, produced.to_le());
        Drained {
            ring: waiting > 0,
            bytes,
            lost,
        }
    }

    /// In at most two pieces: up to the ring's end, and from its start.
    fn copy_out(&self, bytes: usize, sink: &mut Vec<u8>) {
        let start = self.consumed as usize % OUT_SIZE;
        let first = bytes.min(OUT_SIZE - start);
        let old = sink.len();
        sink.resize(old + bytes, 0);
        let (head, tail) = sink[old..].split_at_mut(first);
        self.page.read(OUT + start, head);
        self.page.read(OUT, tail);
    }
}
