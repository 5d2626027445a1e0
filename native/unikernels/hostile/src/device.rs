// SPDX-License-Identifier: Apache-2.0
//! The devices as they are at the start, reached without regard to who may write what.

use core::mem::{offset_of, size_of};

use lightvm_abi::{ControlPage, DevicePage, Entry, MAX_SLOTS, PAGE_SIZE, SLOT_PRESENT};
use unikernel_guest::Region;
use unikernel_platform::{HvmParam, Page, hvm_param, notify};

/// Memory of this guest's own, for rings and buffers: far behind the image, far before the region.
pub(crate) const MEMORY_START: u64 = 4 << 20;
/// The least memory that the guest must have.
pub(crate) const MEMORY_END: u64 = 16 << 20;
/// Pages of it that are used.
pub(crate) const MEMORY_PAGES: u64 = 64;

/// A virtio device or sysctl.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    /// `TYPE_*`.
    pub(crate) kind: u32,
    /// Its control page, both halves.
    pub(crate) control: Page,
    port: u32,
}

impl Device {
    /// Rings the VMM.
    pub(crate) fn ring(&self) {
        notify(self.port);
    }

    /// Asks for a status, and gives the VMM a little time to answer.
    pub(crate) fn ask(&self, status: u32) {
        let request = offset_of!(ControlPage, front.request);
        let number = self.control.load::<u32>(request).wrapping_add(1);
        self.control
            .store(offset_of!(ControlPage, front.status), status);
        self.control.store(request, number);
        self.ring();
        // No sleep: whoever wants to do harm does not wait to be woken.
        for _ in 0..100_000 {
            if self.control.load::<u32>(offset_of!(ControlPage, back.ack)) == number {
                return;
            }
            core::hint::spin_loop();
        }
    }
}

/// All that this guest shares with its VMM.
#[derive(Debug)]
pub(crate) struct Devices {
    /// The device page.
    pub(crate) page: Page,
    /// Guest-physical address of it.
    pub(crate) address: u64,
    /// The console ring.
    pub(crate) console: Option<Page>,
    found: [Option<Device>; MAX_SLOTS],
}

impl Devices {
    /// Reads the device page, before anything is written to it.
    pub(crate) fn of(region: &Region) -> Self {
        let address = region.address();
        let page = Page::at(address).expect("the region is a page");
        let mut found = [None; MAX_SLOTS];
        for (slot, device) in found.iter_mut().enumerate() {
            *device = device_in(page, slot);
        }
        let frame = hvm_param(HvmParam::ConsoleFrame);
        let console = Page::at(frame.wrapping_mul(PAGE_SIZE as u64));
        Self {
            page,
            address,
            console,
            found,
        }
    }

    /// The devices.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Device> {
        self.found.iter().flatten()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all().count()
    }
}

fn device_in(page: Page, slot: usize) -> Option<Device> {
    let entry = offset_of!(DevicePage, entries) + slot * size_of::<Entry>();
    if page.load::<u32>(entry + offset_of!(Entry, state)) != SLOT_PRESENT {
        return None;
    }
    Some(Device {
        kind: page.load(entry + offset_of!(Entry, kind)),
        control: Page::at(page.load(entry + offset_of!(Entry, control_address)))?,
        port: page.load(entry + offset_of!(Entry, port)),
    })
}

/// A page of the guest's own memory.
pub(crate) fn own_page(number: u64) -> Page {
    let address = MEMORY_START + number % MEMORY_PAGES * PAGE_SIZE as u64;
    Page::at(address).expect("behind the image and below 4 GiB")
}
