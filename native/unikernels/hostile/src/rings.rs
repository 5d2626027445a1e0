// SPDX-License-Identifier: Apache-2.0
//! Queues that look right from afar: laid out as virtio wants it, filled with lies.

use core::mem::{offset_of, size_of};

use lightvm_abi::{ControlPage, MAX_QUEUES, PAGE_SIZE, Queue, TYPE_VSOCK};
use unikernel_platform::Page;

use crate::device::{Device, MEMORY_PAGES, MEMORY_START, own_page};
use crate::random::Random;

/// ACKNOWLEDGE, DRIVER and FEATURES_OK; then DRIVER_OK as well.
const NEGOTIATED: u32 = 11;
const RUNNING: u32 = 15;
/// Descriptors that are written of a table.
const DESCRIPTORS: usize = 64;
/// Pages of a queue: its table, what is available, what is used.
const QUEUE_PAGES: u64 = 3;

/// Resets the device, shows it queues, and lets it run.
pub(crate) fn start(device: &Device, random: &mut Random) {
    device.ask(0);
    let features: u64 = device.control.load(offset_of!(ControlPage, back.features));
    device
        .control
        .store(offset_of!(ControlPage, front.features), features);
    device.ask(NEGOTIATED);
    for queue in 0..MAX_QUEUES {
        show_queue(device, queue, random);
    }
    device
        .control
        .store(offset_of!(ControlPage, front.status), RUNNING);
    device.ring();
}

/// A queue in memory of the guest's own, mostly.
fn show_queue(device: &Device, queue: usize, random: &mut Random) {
    let max = offset_of!(ControlPage, back.queue_max) + queue * size_of::<u16>();
    let size: u16 = device.control.load(max);
    if size == 0 {
        return;
    }
    let base = offset_of!(ControlPage, front.queues) + queue * size_of::<Queue>();
    let first = MEMORY_START + queue as u64 * QUEUE_PAGES * PAGE_SIZE as u64;
    let parts = [
        offset_of!(Queue, descriptors),
        offset_of!(Queue, driver),
        offset_of!(Queue, device),
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let right = first + (number * PAGE_SIZE) as u64;
        let address = if random.once_in(16) {
            random.edge()
        } else {
            right
        };
        device.control.store(base + part, address);
    }
    let size = if random.once_in(16) {
        random.next() as u16
    } else {
        size
    };
    device.control.store(base + offset_of!(Queue, size), size);
    device
        .control
        .store(base + offset_of!(Queue, enabled), 1_u16);
}

/// Fills one queue with descriptors that lie, makes them available, and rings.
pub(crate) fn fill(device: &Device, queue: u64, address_of_region: u64, random: &mut Random) {
    let table = own_page(queue * QUEUE_PAGES);
    for index in 0..DESCRIPTORS {
        let number = random.below(MEMORY_PAGES);
        if device.kind == TYPE_VSOCK {
            write_packet(own_page(number), random);
        }
        let own = MEMORY_START + number * PAGE_SIZE as u64;
        let address = match random.below(8) {
            0 => random.edge(),
            1 => address_of_region,
            _ => own,
        };
        let length = if random.once_in(4) {
            random.edge()
        } else {
            random.below(8192)
        };
        // NEXT, WRITE and INDIRECT; and what no version of virtio knows.
        let flags = if random.once_in(16) {
            random.next()
        } else {
            random.below(4)
        };
        let next = if random.once_in(16) {
            random.next()
        } else {
            random.below(64)
        };
        table.store(index * 16, address);
        table.store(index * 16 + 8, length as u32);
        table.store(index * 16 + 12, flags as u16);
        table.store(index * 16 + 14, next as u16);
    }
    let available = own_page(queue * QUEUE_PAGES + 1);
    for entry in 0..DESCRIPTORS {
        available.store(4 + entry * 2, random.below(64) as u16);
    }
    let index: u16 = available.load(2);
    let step = if random.once_in(8) {
        random.next() as u16
    } else {
        random.below(8) as u16
    };
    available.store(2, index.wrapping_add(step));
    device.ring();
}

/// struct virtio_vsock_hdr (virtio 1.2, 5.10.6) with a mind of its own, to a port that is heard.
fn write_packet(page: Page, random: &mut Random) {
    /// The agent's two ports at the VMM, and whatever comes.
    const PORTS: [u64; 3] = [1024, 1025, 0];
    let header = [
        (0, 3),
        (8, 2),
        (16, random.below(4)),
        (20, *random.choose(&PORTS)),
        (24, random.edge()),
        // Type stream, and one of the operations; or one that there is not.
        (28, 1 | (random.below(10) << 16)),
        (32, random.edge()),
        (36, random.edge()),
        (40, random.edge()),
    ];
    for (offset, value) in header {
        let value = if random.once_in(12) {
            random.edge()
        } else {
            value
        };
        page.store(offset, value as u32);
    }
    // Behind it something that may pass for the length of a message.
    page.store(44, random.edge() as u32);
}
