// SPDX-License-Identifier: Apache-2.0
//! The driver's side of one split virtqueue.

use std::sync::atomic::Ordering;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Guest;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// One descriptor of a chain that a test makes.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Guest-physical.
    pub address: GuestAddress,
    /// Bytes.
    pub length: u32,
    /// Whether the device writes it.
    pub writable: bool,
}

/// One queue, seen from the driver. Chains take descriptors one after the other, around the table.
pub struct Ring {
    memory: GuestMemoryMmap,
    slot: usize,
    size: u16,
    descriptors: GuestAddress,
    driver: GuestAddress,
    device: GuestAddress,
    next_descriptor: u16,
    available: u16,
    seen: u16,
}

impl Ring {
    /// An empty queue in memory of its own.
    pub fn new(guest: &mut Guest, slot: usize, size: u16) -> Self {
        let entries = usize::from(size);
        Self {
            memory: guest.memory.clone(),
            slot,
            size,
            descriptors: guest.allocate(16 * entries),
            driver: guest.allocate(6 + 2 * entries),
            device: guest.allocate(6 + 8 * entries),
            next_descriptor: 0,
            available: 0,
            seen: 0,
        }
    }

    /// Descriptor table, available ring, used ring.
    pub fn addresses(&self) -> [u64; 3] {
        [self.descriptors.0, self.driver.0, self.device.0]
    }

    /// Writes one descriptor of a table.
    pub fn write_descriptor(
        &self,
        table: GuestAddress,
        index: u16,
        buffer: Buffer,
        flags: u16,
        next: u16,
    ) {
        let at = GuestAddress(table.0 + 16 * u64::from(index));
        let mut bytes = buffer.address.0.to_le_bytes().to_vec();
        bytes.extend(buffer.length.to_le_bytes());
        let write = if buffer.writable { WRITE } else { 0 };
        bytes.extend((flags | write).to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.memory.write_slice(&bytes, at).expect("RAM");
    }

    /// The descriptor table, for tests that write nonsense into it.
    pub fn table(&self) -> GuestAddress {
        self.descriptors
    }

    /// Makes a chain of these buffers available; returns its head.
    pub fn offer(&mut self, buffers: &[Buffer]) -> u16 {
        let head = self.next_descriptor;
        for (number, buffer) in buffers.iter().enumerate() {
            let index = self.next_descriptor;
            self.next_descriptor = (index + 1) % self.size;
            let last = number + 1 == buffers.len();
            let flags = if last { 0 } else { NEXT };
            self.write_descriptor(
                self.descriptors,
                index,
                *buffer,
                flags,
                self.next_descriptor,
            );
        }
        self.publish(head);
        head
    }

    /// Makes a chain available through an indirect table.
    pub fn offer_indirect(&mut self, guest: &mut Guest, buffers: &[Buffer]) -> u16 {
        let table = guest.allocate(16 * buffers.len());
        for (index, buffer) in (0u16..).zip(buffers) {
            let last = usize::from(index) + 1 == buffers.len();
            let flags = if last { 0 } else { NEXT };
            self.write_descriptor(table, index, *buffer, flags, index + 1);
        }
        let head = self.next_descriptor;
        self.next_descriptor = (head + 1) % self.size;
        let length = 16 * buffers.len() as u32;
        let indirect = Buffer {
            address: table,
            length,
            writable: false,
        };
        self.write_descriptor(self.descriptors, head, indirect, INDIRECT, 0);
        self.publish(head);
        head
    }

    /// Puts a head into the available ring, whatever it is.
    pub fn publish(&mut self, head: u16) {
        let position = 4 + 2 * u64::from(self.available % self.size);
        let at = GuestAddress(self.driver.0 + position);
        self.memory.store(head, at, Ordering::Release).expect("RAM");
        self.set_available(self.available.wrapping_add(1));
    }

    /// Writes the available index, whatever it is.
    pub fn set_available(&mut self, index: u16) {
        self.available = index;
        let at = GuestAddress(self.driver.0 + 2);
        self.memory
            .store(index, at, Ordering::Release)
            .expect("RAM");
    }

    /// Asks for a ring when the used index passes this one.
    pub fn set_used_event(&self, index: u16) {
        let at = GuestAddress(self.driver.0 + 4 + 2 * u64::from(self.size));
        self.memory
            .store(index, at, Ordering::Release)
            .expect("RAM");
    }

    /// Rings the device.
    pub fn kick(&self, guest: &mut Guest) {
        guest.bus.doorbell(self.slot);
    }

    /// Chains that came back since the last call: head and bytes written.
    pub fn used(&mut self) -> Vec<(u16, u32)> {
        let at = GuestAddress(self.device.0 + 2);
        let index: u16 = self.memory.load(at, Ordering::Acquire).expect("RAM");
        let mut list = Vec::new();
        while self.seen != index {
            let position = 4 + 8 * u64::from(self.seen % self.size);
            let at = GuestAddress(self.device.0 + position);
            let element: [u32; 2] = self.memory.read_obj(at).expect("RAM");
            list.push((element[0] as u16, element[1]));
            self.seen = self.seen.wrapping_add(1);
        }
        list
    }
}
