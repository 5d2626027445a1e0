// SPDX-License-Identifier: Apache-2.0
//! What a guest can do to its VMM with nothing but memory that they share and bells.

use core::mem::offset_of;

use lightvm_abi::{ControlPage, PAGE_SIZE};
use unikernel_platform::{Page, notify};

use crate::device::{Device, Devices};
use crate::random::Random;
use crate::rings;

/// Queues of a device that are filled.
const QUEUES: u64 = 4;
/// Words that one attack writes.
const WORDS: u64 = 64;
/// Rings of a flood.
const FLOOD: u64 = 10_000;
/// Event channels, those that are not there included.
const PORTS: u64 = 128;

type Attack = fn(&Devices, &mut Random);

/// All of them; queues are what most of the VMM's code is about.
pub(crate) const ATTACKS: [Attack; 8] = [
    lie_in_queues,
    lie_in_queues,
    lie_in_queues,
    scribble_on_control_pages,
    scribble_on_device_page,
    scribble_on_console,
    ask_for_nonsense,
    flood,
];

fn lie_in_queues(devices: &Devices, random: &mut Random) {
    for device in devices.all() {
        rings::start(device, random);
        for _ in 0..random.below(32) {
            rings::fill(device, random.below(QUEUES), devices.address, random);
        }
    }
}

fn scribble_on_control_pages(devices: &Devices, random: &mut Random) {
    for device in devices.all() {
        // Both halves: the VMM's own must not be believed by the VMM either.
        scribble(device.control, 0, random);
        scribble(device.control, offset_of!(ControlPage, front), random);
        device.ring();
    }
}

fn scribble_on_device_page(devices: &Devices, random: &mut Random) {
    scribble(devices.page, 0, random);
    devices.all().for_each(Device::ring);
}

fn scribble_on_console(devices: &Devices, random: &mut Random) {
    /// Indices of struct xencons_interface: in_cons, in_prod, out_cons, out_prod.
    const INDICES: usize = 3072;
    if let Some(console) = devices.console {
        for index in 0..4 {
            console.store(INDICES + index * 4, random.edge() as u32);
        }
    }
    flood(devices, random);
}

fn ask_for_nonsense(devices: &Devices, random: &mut Random) {
    for device in devices.all() {
        device
            .control
            .store(offset_of!(ControlPage, front.flags), random.edge() as u32);
        device
            .control
            .store(offset_of!(ControlPage, front.features), random.edge());
        device.ask(random.edge() as u32);
    }
}

fn flood(_devices: &Devices, random: &mut Random) {
    for _ in 0..FLOOD {
        notify(random.below(PORTS) as u32);
    }
}

/// Writes words anywhere between `start` and the end of the page.
fn scribble(page: Page, start: usize, random: &mut Random) {
    let words = ((PAGE_SIZE - start) / 8) as u64;
    for _ in 0..random.below(WORDS) {
        let offset = start + 8 * random.below(words) as usize;
        page.store(offset, random.edge());
    }
}
