// SPDX-License-Identifier: Apache-2.0

use std::mem::{offset_of, size_of};

use lightvm_abi::{
    ControlPage, FIRST_WORD, FRONT_RELEASED, Header, Queue, SLOT_EMPTY, SLOT_PRESENT,
    SLOT_REMOVING, TYPE_RNG, TYPE_SYSCTL,
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::control::parse_queue;
use crate::test_support::{
    Buffer, DRIVER, DRIVER_OK, FEATURES_OK, Guest, NEEDS_RESET, RAM, REGION, Ring, SLOTS,
};
use crate::{
    Bell, Block, Bus, BusError, BusOptions, DeviceError, DeviceId, Entropy, Event, Notifier, Sysctl,
};

const STATUS: usize = offset_of!(ControlPage, back.status);
const GENERATION: usize = offset_of!(ControlPage, back.config_generation);

fn options(region: u64, pages: u32, slots: u32) -> BusOptions {
    BusOptions {
        memory: GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).unwrap(),
        region: GuestAddress(region),
        region_pages: pages,
        page_port: 1,
        slot_ports: (0..slots).collect(),
        notifier: Box::new(|_| {}),
    }
}

/// A notifier that cannot connect a slot.
struct Deaf;

impl Notifier for Deaf {
    fn ring(&mut self, _bell: Bell) {}

    fn connect(&mut self, slot: usize) -> bool {
        slot != 1
    }
}

#[test]
fn no_device_is_shown_in_a_slot_without_a_bell() {
    let mut options = options(REGION, 4, 3);
    options.notifier = Box::new(Deaf);
    let mut bus = Bus::new(options).unwrap();
    assert!(bus.plug(Box::new(Sysctl::new())).is_ok());
    let refused = bus.plug(Box::new(Sysctl::new()));
    assert_eq!(refused, Err(BusError::NoBell));
    assert_eq!(bus.device_ids(), [DeviceId(1)]);
}

#[test]
fn a_bus_needs_a_region_for_its_slots() {
    let table = [
        (REGION, 5, 4, None),
        (REGION, 64, 63, None),
        (REGION, 4, 4, Some(BusError::BadRegion)),
        (REGION + 8, 5, 4, Some(BusError::BadRegion)),
        (RAM as u64 - 4096, 5, 4, Some(BusError::BadRegion)),
        (u64::MAX - 4095, 5, 4, Some(BusError::BadRegion)),
        (REGION, 5, 0, Some(BusError::BadSlotCount)),
        (REGION, 65, 64, Some(BusError::BadSlotCount)),
    ];
    for (region, pages, slots, expected) in table {
        let error = Bus::new(options(region, pages, slots)).err();
        assert_eq!(error, expected, "{region:x} {pages} {slots}");
    }
}

#[test]
fn the_device_page_describes_itself_and_its_devices() {
    let mut guest = Guest::new();
    let first_word: u32 = guest.page(offset_of!(Header, first_word));
    let count: u16 = guest.page(offset_of!(Header, slot_count));
    assert_eq!(first_word, FIRST_WORD);
    assert_eq!(usize::from(count), SLOTS);
    let before = guest.generation();
    assert_eq!(guest.bus.plug(Box::new(Sysctl::new())), Ok(DeviceId(1)));
    assert_eq!(guest.bus.plug(Box::new(Entropy::new())), Ok(DeviceId(2)));
    assert_eq!(guest.entry(0), (TYPE_SYSCTL, 1, SLOT_PRESENT, 10));
    assert_eq!(guest.entry(1), (TYPE_RNG, 2, SLOT_PRESENT, 11));
    assert_eq!(guest.entry(2), (0, 0, SLOT_EMPTY, 12));
    assert_eq!(guest.generation(), before + 2);
    assert_eq!(guest.take_rings(), [Bell::Page, Bell::Page]);
    assert_eq!(guest.bus.device_ids(), [DeviceId(1), DeviceId(2)]);
}

#[test]
fn a_device_goes_through_the_handshake() {
    let mut guest = Guest::new();
    let id = guest.bus.plug(Box::new(Entropy::new())).unwrap();
    assert_eq!(guest.request(0, 0, 0), 0);
    assert_eq!(guest.request(0, DRIVER, 0), DRIVER);
    // Too much and too little are refused; then it goes on.
    for features in [u64::MAX, 0, 1 << 29] {
        guest.set(0, offset_of!(ControlPage, front.features), features);
        assert_eq!(guest.request(0, DRIVER | FEATURES_OK, 0), DRIVER);
    }
    guest.take_rings();
    guest.start(0, 1, 16);
    assert!(guest.take_rings().contains(&Bell::Slot(0)));
    assert_eq!(guest.events(), [Event::Ready(id)]);
}

#[test]
fn driver_ok_may_come_with_a_request() {
    let mut guest = Guest::new();
    guest.bus.plug(Box::new(Entropy::new())).unwrap();
    guest.negotiate(0);
    let status = DRIVER | FEATURES_OK | DRIVER_OK;
    assert_eq!(guest.request(0, status, 0), status);
    assert_eq!(guest.events(), [Event::Ready(DeviceId(1))]);
}

#[test]
fn unplug_waits_for_the_guest_and_frees_the_slot() {
    let (mut guest, id, _) = Guest::with(Entropy::new());
    // Letting go too early is a plain reset.
    guest.request(0, 0, FRONT_RELEASED);
    assert_eq!(guest.entry(0).2, SLOT_PRESENT);
    guest.bus.unplug(id).unwrap();
    assert_eq!(guest.entry(0).2, SLOT_REMOVING);
    assert_eq!(guest.events(), []);
    // A reset alone is not letting go.
    guest.request(0, 0, 0);
    assert_eq!(guest.bus.device_ids(), [id]);
    let generation = guest.generation();
    guest.release(0);
    assert_eq!(guest.events(), [Event::Released(id)]);
    assert_eq!(guest.entry(0).2, SLOT_EMPTY);
    assert_eq!(guest.generation(), generation + 1);
    assert_eq!(guest.bus.unplug(id), Err(BusError::UnknownDevice));
    // The slot serves again, with an id of its own and a clean control page.
    let next = guest.bus.plug(Box::new(Entropy::new())).unwrap();
    assert_eq!(next, DeviceId(2));
    let request: u32 = guest.get(0, offset_of!(ControlPage, front.request));
    assert_eq!(request, 0);
    guest.start(0, 1, 8);
    assert_eq!(guest.events(), [Event::Ready(next)]);
}

#[test]
fn slots_run_out() {
    let mut guest = Guest::new();
    for _ in 0..SLOTS {
        guest.bus.plug(Box::new(Entropy::new())).unwrap();
    }
    let full = guest.bus.plug(Box::new(Entropy::new()));
    assert_eq!(full, Err(BusError::NoSlot));
    guest.bus.doorbell(SLOTS);
    guest.bus.doorbell(usize::MAX);
}

#[test]
fn a_device_is_asked_as_its_own_type() {
    let (mut guest, id, _) = Guest::with(Entropy::new());
    let wrong = guest.bus.with_device(id, |_: &mut Block| ());
    assert_eq!(wrong, Err(BusError::WrongType));
    let unknown = guest.bus.with_device(DeviceId(7), |_: &mut Entropy| ());
    assert_eq!(unknown, Err(BusError::UnknownDevice));
}

/// Runs `break_it` on a running device and expects it to break once and to heal by a reset.
fn breaks(what: &str, break_it: impl Fn(&mut Guest, &mut Ring)) {
    let (mut guest, id, mut rings) = Guest::with(Entropy::new());
    let generation: u32 = guest.get(0, GENERATION);
    break_it(&mut guest, &mut rings[0]);
    guest.bus.doorbell(0);
    guest.bus.doorbell(0);
    let events = guest.events();
    let [Event::Broken(broken, _)] = events[..] else {
        panic!("{what}: {events:?}");
    };
    assert_eq!(broken, id);
    let status: u32 = guest.get(0, STATUS);
    assert_ne!(status & NEEDS_RESET, 0, "{what}");
    assert_eq!(guest.get::<u32>(0, GENERATION), generation + 1, "{what}");
    assert!(guest.take_rings().contains(&Bell::Slot(0)), "{what}");
    guest.start(0, 1, 16);
    assert_eq!(guest.events(), [Event::Ready(id)], "{what}");
}

#[test]
fn nonsense_in_the_front_half_breaks_the_device() {
    let ask = |guest: &mut Guest, status, flags| {
        guest.request(0, status, flags);
    };
    breaks("unknown status bits", |guest, _| ask(guest, 0x10, 0));
    breaks("unknown flags", |guest, _| ask(guest, 0, 2));
    breaks("FEATURES_OK taken back", |guest, _| ask(guest, DRIVER, 0));
    breaks("DRIVER_OK taken back", |guest, _| {
        ask(guest, DRIVER | FEATURES_OK, 0);
    });
    breaks("DRIVER_OK after a reset", |guest, _| {
        ask(guest, 0, 0);
        ask(guest, DRIVER | DRIVER_OK, 0);
    });
}

#[test]
fn nonsense_queues_break_the_device() {
    let set_up = |size: u16, addresses: [u64; 3]| {
        move |guest: &mut Guest, _: &mut Ring| {
            guest.negotiate(0);
            guest.describe(0, 0, size, addresses);
            let status = DRIVER | FEATURES_OK | DRIVER_OK;
            guest.set(0, offset_of!(ControlPage, front.status), status);
        }
    };
    let end = RAM as u64;
    breaks("size 0", set_up(0, [4096, 8192, 12288]));
    breaks("size 3", set_up(3, [4096, 8192, 12288]));
    breaks("size 32 of 16", set_up(32, [4096, 8192, 12288]));
    breaks("unaligned table", set_up(16, [4097, 8192, 12288]));
    breaks("unaligned available", set_up(16, [4096, 8193, 12288]));
    breaks("unaligned used", set_up(16, [4096, 8192, 12290]));
    breaks("table at 0", set_up(16, [0, 8192, 12288]));
    breaks("table outside", set_up(16, [end, 8192, 12288]));
    breaks("table across the end", set_up(16, [end - 16, 8192, 12288]));
    breaks(
        "available across the end",
        set_up(16, [4096, end - 2, 12288]),
    );
    breaks(
        "used that overflows",
        set_up(16, [4096, 8192, u64::MAX - 3]),
    );
}

#[test]
fn nonsense_chains_break_the_device() {
    let offer = |address: u64, length: u32| {
        move |_: &mut Guest, ring: &mut Ring| {
            ring.offer(&[Buffer {
                address: GuestAddress(address),
                length,
                writable: true,
            }]);
        }
    };
    breaks("outside", offer(RAM as u64, 8));
    breaks("across the end", offer(RAM as u64 - 4, 8));
    breaks("overflow", offer(u64::MAX, 8));
    breaks("too long", offer(4096, u32::MAX));
    breaks("head out of range", |_, ring| ring.publish(16));
    breaks("index too far", |_, ring| ring.set_available(17));
    breaks("loop", |_, ring| {
        ring.write_descriptor(ring.table(), 0, WRITABLE, 1, 0);
        ring.publish(0);
    });
    breaks("next out of range", |_, ring| {
        ring.write_descriptor(ring.table(), 0, WRITABLE, 1, 99);
        ring.publish(0);
    });
    breaks("indirect table of odd length", |_, ring| {
        ring.write_descriptor(
            ring.table(),
            0,
            Buffer {
                length: 17,
                ..READABLE
            },
            4,
            0,
        );
        ring.publish(0);
    });
    breaks("empty indirect table", |_, ring| {
        ring.write_descriptor(
            ring.table(),
            0,
            Buffer {
                length: 0,
                ..READABLE
            },
            4,
            0,
        );
        ring.publish(0);
    });
    breaks("readable after writable", |_, ring| {
        ring.offer(&[WRITABLE, READABLE]);
    });
}

const READABLE: Buffer = Buffer {
    address: GuestAddress(4096),
    length: 64,
    writable: false,
};
const WRITABLE: Buffer = Buffer {
    address: GuestAddress(8192),
    length: 64,
    writable: true,
};

#[test]
fn a_queue_becomes_a_setup_or_nothing() {
    let bytes = |size: u16, enabled: u16, addresses: [u64; 3]| {
        let mut bytes = [0xff; size_of::<Queue>()];
        bytes[..2].copy_from_slice(&size.to_le_bytes());
        bytes[2..4].copy_from_slice(&enabled.to_le_bytes());
        for (part, address) in bytes[8..].chunks_mut(8).zip(addresses) {
            part.copy_from_slice(&address.to_le_bytes());
        }
        bytes
    };
    let good = [16, 2, 4];
    assert!(matches!(parse_queue(&bytes(8, 1, good), 8), Ok(Some(_))));
    assert!(matches!(parse_queue(&bytes(1, 1, good), 8), Ok(Some(_))));
    assert!(matches!(parse_queue(&bytes(9, 0, [1, 1, 1]), 8), Ok(None)));
    for (size, enabled) in [(8, 2), (8, u16::MAX), (0, 1), (7, 1), (16, 1)] {
        let parsed = parse_queue(&bytes(size, enabled, good), 8);
        assert!(matches!(parsed, Err(DeviceError::ControlPage(_))));
    }
}

/// Whatever is written into the front half and the rings, the bus answers or breaks the device.
#[test]
fn any_front_half_is_survived() {
    let (mut guest, id, _) = Guest::with(Entropy::new());
    let mut random = crate::test_support::Random::new(0x6e6f_7873);
    let front = offset_of!(ControlPage, front);
    let bounds = [
        0,
        1,
        2,
        3,
        8,
        11,
        15,
        16,
        4096,
        REGION,
        RAM as u64 - 16,
        u64::MAX,
    ];
    for _ in 0..200_000 {
        // Mostly the fields that matter, mostly with values near a bound.
        let words = if random.below(4) == 0 { 256 } else { 80 };
        let offset = front + 8 * random.below(words) as usize;
        let value = match random.below(3) {
            0 => random.next(),
            1 => bounds[random.below(bounds.len() as u64) as usize],
            _ => random.below(64) | (random.below(4) << 32),
        };
        guest.set(0, offset, value);
        guest.bus.doorbell(0);
        if random.below(64) == 0 {
            guest.set(0, offset_of!(ControlPage, front.flags), 0u32);
            guest.start(0, 1, 16);
        }
        guest.events();
        guest.take_rings();
        guest.rewind();
    }
    guest.set(0, offset_of!(ControlPage, front.flags), 0u32);
    guest.start(0, 1, 16);
    assert!(guest.events().contains(&Event::Ready(id)));
}
