// SPDX-License-Identifier: Apache-2.0
//! One page of guest RAM at a place that the VMM chose.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lightvm_abi::PAGE_SIZE;
use vm_memory::{AtomicAccess, Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

/// A page that is known to be in RAM, so that no access inside of it can fail.
#[derive(Clone)]
pub(crate) struct Page {
    memory: Arc<GuestMemoryMmap>,
    address: GuestAddress,
}

impl Page {
    /// The page at this address, if it is page-aligned and in RAM.
    pub(crate) fn new(memory: &Arc<GuestMemoryMmap>, address: GuestAddress) -> Option<Self> {
        let aligned = address.0 % PAGE_SIZE as u64 == 0;
        (aligned && memory.check_range(address, PAGE_SIZE)).then(|| Self {
            memory: Arc::clone(memory),
            address,
        })
    }

    pub(crate) fn address(&self) -> GuestAddress {
        self.address
    }

    /// Reads a naturally aligned field once, with acquire ordering.
    pub(crate) fn load<T: AtomicAccess>(&self, offset: usize) -> T {
        self.memory
            .load(self.at(offset), Ordering::Acquire)
            .expect("Page::new checked that the page is RAM, and offsets are the contract's")
    }

    /// Writes a naturally aligned field, with release ordering.
    pub(crate) fn store<T: AtomicAccess>(&self, offset: usize, value: T) {
        self.memory
            .store(value, self.at(offset), Ordering::Release)
            .expect("Page::new checked that the page is RAM, and offsets are the contract's");
    }

    /// Copies bytes out; each of them is read once.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        self.memory
            .read_slice(into, self.at(offset))
            .expect("Page::new checked that the page is RAM, and offsets are the contract's");
    }

    /// Zeroes the whole page.
    pub(crate) fn clear(&self) {
        self.memory
            .write_slice(&[0; PAGE_SIZE], self.address)
            .expect("Page::new checked that the page is RAM");
    }

    fn at(&self, offset: usize) -> GuestAddress {
        debug_assert!(offset < PAGE_SIZE);
        GuestAddress(self.address.0 + offset as u64)
    }
}
