// SPDX-License-Identifier: Apache-2.0
//! The noxs back end.

use std::fmt;

use vm_memory::{GuestAddress, GuestMemoryMmap};

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

/// All devices of one guest.
pub struct Bus;

impl Bus {
    /// Writes an empty device page into the region. The guest must not run yet.
    pub fn new(_options: BusOptions) -> Result<Self, BusError> {
        todo!()
    }

    /// Shows a new device to the guest, in the first free slot.
    pub fn plug(&mut self, _device: Box<dyn Device>) -> Result<DeviceId, BusError> {
        todo!()
    }

    /// Asks the guest to let go of a device. [`Event::Released`] follows when it has; a guest that
    /// never answers keeps the slot. How long to wait is the caller's business.
    pub fn unplug(&mut self, _id: DeviceId) -> Result<(), BusError> {
        todo!()
    }

    /// The guest rang (or may have rung) the device in this slot: looks at its control page, then
    /// at its queues. Rings for empty or unknown slots are ignored.
    pub fn doorbell(&mut self, _slot: usize) {
        todo!()
    }

    /// True when a device stopped at its budget: call [`Bus::run_pending`] before sleeping, after
    /// looking after everything else.
    pub fn has_pending(&self) -> bool {
        todo!()
    }

    /// Gives every device that stopped at its budget another turn.
    pub fn run_pending(&mut self) {
        todo!()
    }

    /// The oldest event that was not yet taken. Drain these after each call that may produce some.
    pub fn next_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// Calls `act` with the device, then does what that caused: configuration, queues, doorbell.
    pub fn with_device<D: Device, R>(
        &mut self,
        _id: DeviceId,
        _act: impl FnOnce(&mut D) -> R,
    ) -> Result<R, BusError> {
        todo!()
    }

    /// Ids of all devices that the guest may still use, those being unplugged included.
    pub fn device_ids(&self) -> Vec<DeviceId> {
        todo!()
    }
}
