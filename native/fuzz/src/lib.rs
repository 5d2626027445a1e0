// SPDX-License-Identifier: Apache-2.0
//! What a guest can do to a device: it writes anything anywhere in its memory, and rings.
//!
//! A fuzz target makes a device and lets [`Attacker`] take the steps that the fuzzer has thought of.
//! Steps that a driver would take are among them, or hardly any input would get beyond the first check.

use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;
use lightvm_devices::test_support::{Buffer, Guest, REGION, Ring};
use lightvm_devices::{Device, DeviceId, Event};
use vm_memory::{Bytes, GuestAddress};

/// Where chains of [`Step::Chain`] and writes of [`Step::Write`] are: rings and buffers lie there.
const HEAP: u64 = 2 << 20;
/// Bytes of the device page and of the first control page.
const PAGES: u32 = 2 * 4096;
/// Turns that a device may ask for after one step: more is busy waiting.
const MAX_TURNS: usize = 1000;
/// Steps of one run.
const MAX_STEPS: usize = 64;

/// One thing that the guest does.
#[derive(Arbitrary, Debug)]
pub enum Step {
    /// Bytes at an offset of the heap.
    Write {
        /// Bytes from the heap's start.
        at: u16,
        /// What is written there.
        bytes: Vec<u8>,
    },
    /// A word of the device page or the control page.
    Page {
        /// Bytes from the region's start.
        offset: u16,
        /// What is written there.
        value: u32,
    },
    /// What a driver does: bytes in a buffer, and another one for the answer.
    Request {
        /// Which queue.
        ring: u8,
        /// For the device to read.
        bytes: Vec<u8>,
        /// Bytes that the device may write.
        room: u16,
    },
    /// A chain of buffers anywhere in the first part of the heap.
    Chain {
        /// Which queue.
        ring: u8,
        /// Offset, bytes, and whether the device writes it.
        buffers: Vec<(u32, u32, bool)>,
        /// Through an indirect table.
        indirect: bool,
    },
    /// A head in the available ring.
    Publish {
        /// Which queue.
        ring: u8,
        /// Any number.
        head: u16,
    },
    /// The available index.
    Available {
        /// Which queue.
        ring: u8,
        /// Any number.
        index: u16,
    },
    /// The doorbell.
    Doorbell,
}

/// A guest with one device, which its driver runs.
pub struct Attacker {
    /// The guest.
    pub guest: Guest,
    /// The device.
    pub id: DeviceId,
    rings: Vec<Ring>,
}

impl Attacker {
    /// A guest whose driver has just started `device`.
    pub fn new(device: impl Device) -> Self {
        let (guest, id, rings) = Guest::with(device);
        Self { guest, id, rings }
    }

    /// Takes the first of these steps, and what the host does after each.
    pub fn run<'a>(
        &mut self,
        steps: impl IntoIterator<Item = &'a Step>,
        mut host: impl FnMut(&mut Self),
    ) {
        for step in steps.into_iter().take(MAX_STEPS) {
            self.take(step);
            host(self);
        }
    }

    /// Takes one step and lets the device work until it waits; returns what it has told by then.
    pub fn take(&mut self, step: &Step) -> Vec<Event> {
        match step {
            // Nothing to a device without queues.
            Step::Request { .. }
            | Step::Chain { .. }
            | Step::Publish { .. }
            | Step::Available { .. }
                if self.rings.is_empty() => {}
            Step::Write { at, bytes } => self.write(HEAP + u64::from(*at), bytes),
            Step::Page { offset, value } => {
                let offset = (u32::from(*offset) % PAGES) & !3;
                let at = GuestAddress(REGION + u64::from(offset));
                let stored = self.guest.memory.store(*value, at, Ordering::Release);
                stored.expect("RAM");
            }
            Step::Request { ring, bytes, room } => self.request(*ring, bytes, *room),
            Step::Chain {
                ring,
                buffers,
                indirect,
            } => self.chain(*ring, buffers, *indirect),
            Step::Publish { ring, head } => self.ring(*ring).publish(*head),
            Step::Available { ring, index } => self.ring(*ring).set_available(*index),
            Step::Doorbell => {}
        }
        self.guest.bus.doorbell(0);
        self.settle()
    }

    /// Lets the device work until it waits; returns what it has told by then. Panics when it never
    /// does.
    pub fn settle(&mut self) -> Vec<Event> {
        let mut turns = 0;
        while self.guest.bus.has_pending() {
            self.guest.bus.run_pending();
            turns += 1;
            assert!(turns < MAX_TURNS, "the device never waits");
        }
        self.guest.take_rings();
        self.guest.events()
    }

    fn ring(&mut self, number: u8) -> &mut Ring {
        let count = self.rings.len();
        &mut self.rings[usize::from(number) % count]
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let written = self.guest.memory.write_slice(bytes, GuestAddress(address));
        written.expect("RAM");
    }

    fn request(&mut self, ring: u8, bytes: &[u8], room: u16) {
        let mut buffers = Vec::new();
        for (length, writable) in [(bytes.len(), false), (usize::from(room), true)] {
            if length > 0 {
                let address = self.guest.allocate(length);
                buffers.push(Buffer {
                    address,
                    length: length as u32,
                    writable,
                });
            }
        }
        if let Some(first) = buffers.first() {
            if !bytes.is_empty() {
                self.write(first.address.0, bytes);
            }
            self.ring(ring).offer(&buffers);
        }
    }

    fn chain(&mut self, ring: u8, buffers: &[(u32, u32, bool)], indirect: bool) {
        let buffers: Vec<Buffer> = buffers
            .iter()
            .take(40)
            .map(|(offset, length, writable)| Buffer {
                address: GuestAddress(HEAP + u64::from(*offset)),
                length: *length,
                writable: *writable,
            })
            .collect();
        let count = self.rings.len();
        let ring = &mut self.rings[usize::from(ring) % count];
        match (indirect, buffers.is_empty()) {
            (_, true) => {}
            (true, false) => {
                ring.offer_indirect(&mut self.guest, &buffers);
            }
            (false, false) => {
                ring.offer(&buffers);
            }
        }
    }
}
