// SPDX-License-Identifier: Apache-2.0
//! The noxs back end: one device page, one control page a slot.
//!
//! `native/abi/include/noxs.h` is the contract; what it says about writers and order is done in
//! `device_page` and `control`, the state of one device is in `link`. This file joins them.

mod control;
mod device_page;
mod link;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use lightvm_abi::{MAX_SLOTS, PAGE_SIZE, TYPE_BLOCK};
use vm_memory::{Address, GuestAddress, GuestMemoryMmap};

pub use control::FrontConfig;
pub(crate) use control::QueueSetup;
use device_page::DevicePage;
use link::{Link, Turn};

use crate::page::Page;
use crate::{Device, DeviceError, DeviceEvent, DeviceId};

/// One of the event channels between VMM and guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bell {
    /// The header's: the device page has changed.
    Page,
    /// That of the device in slot n.
    Slot(usize),
}

/// Rings the guest. In the VMM this is an event channel notification.
pub trait Notifier {
    /// Rings once. Losing a ring is the notifier's to report; the bus can't do anything about it.
    fn ring(&mut self, bell: Bell);

    /// Makes a slot's bell work, both ways; called before the slot shows a device. Saying why it can't
    /// be done is the notifier's as well.
    fn connect(&mut self, _slot: usize) -> bool {
        true
    }
}

impl<F: FnMut(Bell)> Notifier for F {
    fn ring(&mut self, bell: Bell) {
        self(bell);
    }
}

/// What a bus is made of.
pub struct BusOptions {
    /// The guest's RAM, the region included.
    pub memory: GuestMemoryMmap,
    /// Guest-physical address of the region's first page.
    pub region: GuestAddress,
    /// Pages of the region: one device page and one control page a slot, at least.
    pub region_pages: u32,
    /// The guest's event channel port for changes of the device page.
    pub page_port: u32,
    /// The guest's event channel port of each slot; the number of ports is the number of slots.
    pub slot_ports: Vec<u32>,
    /// Rings the guest.
    pub notifier: Box<dyn Notifier>,
}

/// Why the bus refused a call of the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// The region is not page-aligned, not in RAM, or too small for its slots.
    BadRegion,
    /// There are no slots, or more than a device page has room for.
    BadSlotCount,
    /// Every slot is taken.
    NoSlot,
    /// The bell of a slot does not work.
    NoBell,
    /// No device has this id.
    UnknownDevice,
    /// The device has another type than the caller expects.
    WrongType,
}

impl fmt::Display for BusError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BadRegion => "the noxs region is misplaced or too small",
            Self::BadSlotCount => "the number of device slots is out of range",
            Self::NoSlot => "no device slot is free",
            Self::NoBell => "the device slot has no event channel",
            Self::UnknownDevice => "no device has this id",
            Self::WrongType => "the device is of another type",
        })
    }
}

impl std::error::Error for BusError {}

/// What the bus tells the VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest's driver runs the device (DRIVER_OK).
    Ready(DeviceId),
    /// The guest broke the device's protocol; it answers nothing until the guest resets it.
    Broken(DeviceId, DeviceError),
    /// The guest has let go of a device that was unplugged; the device and its slot are free.
    Released(DeviceId),
    /// The device itself has something to say.
    Device(DeviceId, DeviceEvent),
}

/// A place for a device: a control page that is its own, and the device that is there now.
struct Slot {
    page: Page,
    link: Option<Link>,
}

/// All devices of one guest.
pub struct Bus {
    memory: Arc<GuestMemoryMmap>,
    page: DevicePage,
    slots: Vec<Slot>,
    notifier: Box<dyn Notifier>,
    events: VecDeque<Event>,
    last_id: u32,
}

impl Bus {
    /// Writes an empty device page into the region. The guest must not run yet.
    pub fn new(options: BusOptions) -> Result<Self, BusError> {
        let count = options.slot_ports.len();
        if count == 0 || count > MAX_SLOTS {
            return Err(BusError::BadSlotCount);
        }
        if (options.region_pages as usize) < 1 + count {
            return Err(BusError::BadRegion);
        }
        let memory = Arc::new(options.memory);
        let page_at = |number: usize| {
            let address = options.region.checked_add((number * PAGE_SIZE) as u64);
            address
                .and_then(|address| Page::new(&memory, address))
                .ok_or(BusError::BadRegion)
        };
        let mut slots = Vec::with_capacity(count);
        for number in 0..count {
            slots.push(Slot {
                page: page_at(1 + number)?,
                link: None,
            });
        }
        let page = DevicePage::new(
            page_at(0)?,
            options.page_port,
            options.region_pages,
            &options.slot_ports,
        );
        Ok(Self {
            memory,
            page,
            slots,
            notifier: options.notifier,
            events: VecDeque::new(),
            last_id: 0,
        })
    }

    /// Shows a new device to the guest, in the first free slot.
    pub fn plug(&mut self, device: Box<dyn Device>) -> Result<DeviceId, BusError> {
        let free = |slot: &Slot| slot.link.is_none();
        let number = self.slots.iter().position(free).ok_or(BusError::NoSlot)?;
        let id = self.last_id.checked_add(1).ok_or(BusError::NoSlot)?;
        if !self.notifier.connect(number) {
            return Err(BusError::NoBell);
        }
        self.last_id = id;
        let kind = device.kind();
        let slot = &mut self.slots[number];
        let link = Link::new(DeviceId(id), device, slot.page.clone(), &self.memory);
        self.page.show(number, kind, id, link.control_address());
        slot.link = Some(link);
        self.notifier.ring(Bell::Page);
        Ok(DeviceId(id))
    }

    /// Asks the guest to let go of a device. [`Event::Released`] follows when it has; a guest that
    /// never answers keeps the slot. How long to wait is the caller's business.
    pub fn unplug(&mut self, id: DeviceId) -> Result<(), BusError> {
        let number = self.find(id)?;
        if let Some(link) = &mut self.slots[number].link {
            link.ask_back();
        }
        self.page.ask_back(number);
        self.notifier.ring(Bell::Page);
        Ok(())
    }

    /// The guest rang (or may have rung) the device in this slot: looks at its control page, then
    /// at its queues. Rings for empty or unknown slots are ignored.
    pub fn doorbell(&mut self, slot: usize) {
        let link = self.slots.get_mut(slot).and_then(|slot| slot.link.as_mut());
        if let Some(turn) = link.map(Link::doorbell) {
            self.settle(slot, turn);
        }
    }

    /// True when a device stopped at its budget: call [`Bus::run_pending`] before sleeping, after
    /// looking after everything else.
    pub fn has_pending(&self) -> bool {
        self.slots.iter().any(Slot::has_pending)
    }

    /// Gives every device that stopped at its budget another turn.
    pub fn run_pending(&mut self) {
        for number in 0..self.slots.len() {
            if self.slots[number].has_pending() {
                self.doorbell(number);
            }
        }
    }

    /// The oldest event that was not yet taken. Drain these after each call that may produce some.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Calls `act` with the device, then does what that caused: configuration, queues, doorbell.
    pub fn with_device<D: Device, R>(
        &mut self,
        id: DeviceId,
        act: impl FnOnce(&mut D) -> R,
    ) -> Result<R, BusError> {
        let number = self.find(id)?;
        let Some(link) = &mut self.slots[number].link else {
            return Err(BusError::UnknownDevice);
        };
        let device = link.device().as_any_mut().downcast_mut();
        let result = act(device.ok_or(BusError::WrongType)?);
        let turn = link.serve();
        self.settle(number, turn);
        Ok(result)
    }

    /// Ids of all devices that the guest may still use, those being unplugged included.
    pub fn device_ids(&self) -> Vec<DeviceId> {
        let links = self.slots.iter().filter_map(|slot| slot.link.as_ref());
        links.map(Link::id).collect()
    }

    /// Ids of the disks that nobody has unplugged.
    pub fn disk_ids(&self) -> Vec<DeviceId> {
        let links = self.slots.iter().filter_map(|slot| slot.link.as_ref());
        let wanted = links.filter(|link| link.kind() == TYPE_BLOCK && !link.is_removed());
        wanted.map(Link::id).collect()
    }

    fn find(&self, id: DeviceId) -> Result<usize, BusError> {
        let has = |slot: &Slot| slot.link.as_ref().is_some_and(|link| link.id() == id);
        let number = self.slots.iter().position(has);
        number.ok_or(BusError::UnknownDevice)
    }

    /// Does for a device what only the bus can do after its turn.
    fn settle(&mut self, number: usize, turn: Turn) {
        self.events.extend(turn.events);
        if turn.ring {
            self.notifier.ring(Bell::Slot(number));
        }
        if turn.released {
            if let Some(link) = self.slots[number].link.take() {
                self.page.clear(number);
                self.events.push_back(Event::Released(link.id()));
            }
        }
    }
}

impl Slot {
    fn has_pending(&self) -> bool {
        self.link.as_ref().is_some_and(Link::has_pending)
    }
}
