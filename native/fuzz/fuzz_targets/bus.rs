// SPDX-License-Identifier: Apache-2.0
//! The bus: devices come and go while the guest writes anything into the region, in any order.
#![no_main]

use std::collections::BTreeSet;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use lightvm_abi::{ControlPage, FRONT_RELEASED, Queue};
use lightvm_devices::test_support::{Guest, REGION, SLOTS};
use lightvm_devices::{BusError, DeviceId, Entropy, Event, Sysctl};
use vm_memory::{AtomicAccess, Bytes, GuestAddress};

const PAGE: usize = 4096;
/// Bytes of the device page and of all control pages.
const PAGES: usize = (1 + SLOTS) * PAGE;
const MAX_STEPS: usize = 256;

#[derive(Arbitrary, Debug)]
enum Step {
    /// The host shows a device.
    Plug { sysctl: bool },
    /// The host wants one back: the n-th of those that there are.
    Unplug { which: u8 },
    /// The guest writes a word of the region.
    Write { offset: u16, value: u32 },
    /// The guest makes a request as a driver does, and rings.
    Request { slot: u8, status: u8, flags: u8 },
    /// The guest agrees on the features that are offered.
    TakeFeatures { slot: u8 },
    /// The guest describes a queue.
    Describe { slot: u8, size: u8, address: u16 },
    /// The guest lets go of what is in a slot.
    Release { slot: u8 },
    /// The guest rings a slot that there may not be.
    Ring { slot: u8 },
}

/// What the host has asked for, by which the bus is judged.
#[derive(Default)]
struct Ledger {
    living: BTreeSet<DeviceId>,
    asked_back: BTreeSet<DeviceId>,
    last: Option<DeviceId>,
}

impl Ledger {
    fn plugged(&mut self, id: DeviceId) {
        assert!(self.last < Some(id), "an id came again");
        self.last = Some(id);
        self.living.insert(id);
        assert!(self.living.len() <= SLOTS, "more devices than slots");
    }

    fn heard(&mut self, event: &Event) {
        match event {
            Event::Released(id) => {
                assert!(self.asked_back.remove(id), "nobody has asked for {id:?}");
                assert!(self.living.remove(id), "{id:?} was gone");
            }
            Event::Ready(id) | Event::Broken(id, _) | Event::Device(id, _) => {
                assert!(self.living.contains(id), "{id:?} speaks after its end");
            }
        }
    }
}

fn take(step: &Step, guest: &mut Guest, ledger: &mut Ledger) {
    let slot_of = |slot: u8| usize::from(slot) % SLOTS;
    match *step {
        Step::Plug { sysctl } => {
            let plugged = if sysctl {
                guest.bus.plug(Box::new(Sysctl::new()))
            } else {
                guest.bus.plug(Box::new(Entropy::new()))
            };
            match plugged {
                Ok(id) => ledger.plugged(id),
                Err(error) => assert_eq!((error, ledger.living.len()), (BusError::NoSlot, SLOTS)),
            }
        }
        Step::Unplug { which } => {
            let at = usize::from(which) % ledger.living.len().max(1);
            if let Some(&id) = ledger.living.iter().nth(at) {
                guest.bus.unplug(id).expect("a device that lives");
                ledger.asked_back.insert(id);
            }
        }
        Step::Write { offset, value } => store(guest, (usize::from(offset) % PAGES) & !3, value),
        Step::Request {
            slot,
            status,
            flags,
        } => ask(guest, slot_of(slot), status.into(), flags.into()),
        Step::TakeFeatures { slot } => {
            let page = control(slot_of(slot));
            let offered: u64 = load(guest, page + offset_of!(ControlPage, back.features));
            store(
                guest,
                page + offset_of!(ControlPage, front.features),
                offered,
            );
        }
        Step::Describe {
            slot,
            size,
            address,
        } => describe(guest, slot_of(slot), size.into(), u64::from(address) << 8),
        Step::Release { slot } => ask(guest, slot_of(slot), 0, FRONT_RELEASED),
        Step::Ring { slot } => guest.bus.doorbell(slot.into()),
    }
}

/// Where a slot's control page is in the region; the guest may have written elsewhere where that is.
fn control(slot: usize) -> usize {
    (1 + slot) * PAGE
}

fn load<T: AtomicAccess>(guest: &Guest, offset: usize) -> T {
    let at = GuestAddress(REGION + offset as u64);
    guest.memory.load(at, Ordering::Acquire).expect("RAM")
}

fn store<T: AtomicAccess>(guest: &Guest, offset: usize, value: T) {
    let at = GuestAddress(REGION + offset as u64);
    let stored = guest.memory.store(value, at, Ordering::Release);
    stored.expect("RAM");
}

/// A request that nobody may be there to answer.
fn ask(guest: &mut Guest, slot: usize, status: u32, flags: u32) {
    let page = control(slot);
    let request = page + offset_of!(ControlPage, front.request);
    let number: u32 = load(guest, request);
    store(guest, page + offset_of!(ControlPage, front.status), status);
    store(guest, page + offset_of!(ControlPage, front.flags), flags);
    store(guest, request, number.wrapping_add(1));
    guest.bus.doorbell(slot);
}

/// The first queue, with its three parts one page after the other.
fn describe(guest: &Guest, slot: usize, size: u16, address: u64) {
    let queue = control(slot) + offset_of!(ControlPage, front.queues);
    store(guest, queue + offset_of!(Queue, size), size);
    store(guest, queue + offset_of!(Queue, enabled), 1_u16);
    let parts = [
        offset_of!(Queue, descriptors),
        offset_of!(Queue, driver),
        offset_of!(Queue, device),
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let at = address + (number * PAGE) as u64;
        store(guest, queue + part, at);
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut guest = Guest::new();
    let mut ledger = Ledger::default();
    for step in steps.iter().take(MAX_STEPS) {
        take(step, &mut guest, &mut ledger);
        guest.bus.run_pending();
        guest.take_rings();
        for event in guest.events() {
            ledger.heard(&event);
        }
        let there: BTreeSet<_> = guest.bus.device_ids().into_iter().collect();
        assert_eq!(there, ledger.living);
    }
});
