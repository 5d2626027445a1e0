// SPDX-License-Identifier: Apache-2.0
//! The guest's side of noxs and of virtqueues, on anonymous memory, for tests.
//!
//! A [`Guest`] holds RAM, a bus and a driver that keeps to the contract unless a test makes it
//! break it. Time does not pass: a ring of the guest's is a call of [`Bus::doorbell`].

mod random;
mod ring;
mod vsock;

use std::cell::RefCell;
use std::mem::{offset_of, size_of};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use lightvm_abi::{ControlPage, DevicePage, Entry, FRONT_RELEASED, Header, Queue};
use vm_memory::{AtomicAccess, Bytes, GuestAddress, GuestMemoryMmap};

pub use random::Random;
pub use ring::{Buffer, Ring};
pub use vsock::{Packet, VsockDriver};

use crate::{Bell, Bus, BusOptions, Device, DeviceId, Event};

/// Bytes of RAM, from address 0.
pub const RAM: usize = 16 << 20;
/// Where the noxs region is.
pub const REGION: u64 = 1 << 20;
/// Slots of the device page.
pub const SLOTS: usize = 4;
/// Where memory for rings and buffers starts.
const HEAP: u64 = 2 << 20;

/// Status bits that a driver sets before its features are agreed.
pub const DRIVER: u32 = 3;
/// The status bit that asks for features.
pub const FEATURES_OK: u32 = 8;
/// The status bit that starts a device.
pub const DRIVER_OK: u32 = 4;
/// The status bit of a broken device.
pub const NEEDS_RESET: u32 = 64;

/// RAM, bus and driver of one guest.
pub struct Guest {
    /// The guest's RAM.
    pub memory: GuestMemoryMmap,
    /// What serves it.
    pub bus: Bus,
    rings: Rc<RefCell<Vec<Bell>>>,
    heap: u64,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// A guest with an empty device page.
    pub fn new() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).expect("RAM");
        let rings = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&rings);
        let bus = Bus::new(BusOptions {
            memory: memory.clone(),
            region: GuestAddress(REGION),
            region_pages: 1 + SLOTS as u32,
            page_port: 9,
            slot_ports: (10..10 + SLOTS as u32).collect(),
            notifier: Box::new(move |bell| heard.borrow_mut().push(bell)),
        });
        Self {
            memory,
            bus: bus.expect("a bus"),
            rings,
            heap: HEAP,
        }
    }

    /// A guest with one device whose driver runs it, every queue with 16 entries.
    pub fn with(device: impl Device) -> (Self, DeviceId, Vec<Ring>) {
        let mut guest = Self::new();
        let queues = device.queue_sizes().len();
        let id = guest.bus.plug(Box::new(device)).expect("a slot");
        let rings = guest.start(0, queues, 16);
        guest.events();
        guest.take_rings();
        (guest, id, rings)
    }

    /// Memory for the guest's own use, aligned to 16.
    pub fn allocate(&mut self, bytes: usize) -> GuestAddress {
        let address = GuestAddress(self.heap);
        self.heap += (bytes as u64).next_multiple_of(16);
        assert!(self.heap <= RAM as u64, "the guest is out of memory");
        address
    }

    /// Makes all memory of [`Guest::allocate`] free again.
    pub fn rewind(&mut self) {
        self.heap = HEAP;
    }

    /// All events of the bus so far.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.bus.next_event()).collect()
    }

    /// All rings of the guest's event channels so far.
    pub fn take_rings(&mut self) -> Vec<Bell> {
        self.rings.borrow_mut().drain(..).collect()
    }

    /// Reads a field of the device page.
    pub fn page<T: AtomicAccess>(&self, offset: usize) -> T {
        let address = GuestAddress(REGION + offset as u64);
        self.memory.load(address, Ordering::Acquire).expect("RAM")
    }

    /// The device page's generation.
    pub fn generation(&self) -> u32 {
        self.page(offset_of!(Header, generation))
    }

    /// An entry's fields (type, id, state, port).
    pub fn entry(&self, slot: usize) -> (u32, u32, u32, u32) {
        let entry = offset_of!(DevicePage, entries) + slot * size_of::<Entry>();
        (
            self.page(entry + offset_of!(Entry, kind)),
            self.page(entry + offset_of!(Entry, id)),
            self.page(entry + offset_of!(Entry, state)),
            self.page(entry + offset_of!(Entry, port)),
        )
    }

    fn control(&self, slot: usize, offset: usize) -> GuestAddress {
        let entry = offset_of!(DevicePage, entries) + slot * size_of::<Entry>();
        let address: u64 = self.page(entry + offset_of!(Entry, control_address));
        GuestAddress(address + offset as u64)
    }

    /// Reads a field of a control page.
    pub fn get<T: AtomicAccess>(&self, slot: usize, offset: usize) -> T {
        let address = self.control(slot, offset);
        self.memory.load(address, Ordering::Acquire).expect("RAM")
    }

    /// Writes a field of a control page.
    pub fn set<T: AtomicAccess>(&self, slot: usize, offset: usize, value: T) {
        let address = self.control(slot, offset);
        let stored = self.memory.store(value, address, Ordering::Release);
        stored.expect("RAM");
    }

    /// Makes a request and returns the verdict; the VMM must have answered.
    pub fn request(&mut self, slot: usize, status: u32, flags: u32) -> u32 {
        let number: u32 = self.get(slot, offset_of!(ControlPage, front.request));
        let number = number.wrapping_add(1);
        self.set(slot, offset_of!(ControlPage, front.status), status);
        self.set(slot, offset_of!(ControlPage, front.flags), flags);
        self.set(slot, offset_of!(ControlPage, front.request), number);
        self.bus.doorbell(slot);
        let ack: u32 = self.get(slot, offset_of!(ControlPage, back.ack));
        assert_eq!(ack, number, "the request was answered");
        self.get(slot, offset_of!(ControlPage, back.status))
    }

    /// Resets a device and agrees on everything that it offers.
    pub fn negotiate(&mut self, slot: usize) -> u32 {
        assert_eq!(self.request(slot, 0, 0), 0);
        let offered: u64 = self.get(slot, offset_of!(ControlPage, back.features));
        self.set(slot, offset_of!(ControlPage, front.features), offered);
        self.request(slot, DRIVER | FEATURES_OK, 0)
    }

    /// Describes a queue in the front half.
    pub fn describe(&self, slot: usize, queue: usize, size: u16, addresses: [u64; 3]) {
        let base = offset_of!(ControlPage, front.queues) + queue * size_of::<Queue>();
        self.set(slot, base + offset_of!(Queue, size), size);
        self.set(slot, base + offset_of!(Queue, enabled), 1u16);
        let [descriptors, driver, device] = addresses;
        self.set(slot, base + offset_of!(Queue, descriptors), descriptors);
        self.set(slot, base + offset_of!(Queue, driver), driver);
        self.set(slot, base + offset_of!(Queue, device), device);
    }

    /// Takes a device from reset to running; gives its queues.
    pub fn start(&mut self, slot: usize, queues: usize, size: u16) -> Vec<Ring> {
        assert_eq!(self.negotiate(slot), DRIVER | FEATURES_OK);
        let mut rings = Vec::new();
        for queue in 0..queues {
            let ring = Ring::new(self, slot, size);
            self.describe(slot, queue, size, ring.addresses());
            rings.push(ring);
        }
        let status = DRIVER | FEATURES_OK | DRIVER_OK;
        self.set(slot, offset_of!(ControlPage, front.status), status);
        self.bus.doorbell(slot);
        rings
    }

    /// Lets go of a device that is being removed.
    pub fn release(&mut self, slot: usize) {
        self.request(slot, 0, FRONT_RELEASED);
    }
}
