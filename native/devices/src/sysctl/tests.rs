// SPDX-License-Identifier: Apache-2.0

use std::mem::offset_of;

use lightvm_abi::{
    ControlPage, SYSCTL_ALIVE, SYSCTL_EXITING, SYSCTL_PANICKED, SYSCTL_POWEROFF, SYSCTL_REBOOT,
    SYSCTL_RESTARTING,
};

use super::{GuestState, HostRequest, Sysctl};
use crate::test_support::Guest;
use crate::{Bell, DeviceEvent, Event};

const BACK: usize = offset_of!(ControlPage, back.config);
const FRONT: usize = offset_of!(ControlPage, front.config);
const GENERATION: usize = offset_of!(ControlPage, back.config_generation);

fn say(guest: &mut Guest, sequence: u32, word: u32) {
    guest.set(0, FRONT, u64::from(sequence) | (u64::from(word) << 32));
    guest.bus.doorbell(0);
}

#[test]
fn the_guest_says_how_it_is_without_a_handshake() {
    let mut guest = Guest::new();
    let id = guest.bus.plug(Box::new(Sysctl::new())).unwrap();
    let words = [
        (SYSCTL_ALIVE, GuestState::Alive),
        (SYSCTL_EXITING, GuestState::Exiting),
        (SYSCTL_RESTARTING, GuestState::Restarting),
        (SYSCTL_PANICKED, GuestState::Panicked),
    ];
    for (sequence, (word, state)) in (1..).zip(words) {
        say(&mut guest, sequence, word);
        let said = Event::Device(id, DeviceEvent::Sysctl(state));
        assert_eq!(guest.events(), [said]);
        // A ring without news says nothing.
        guest.bus.doorbell(0);
        assert_eq!(guest.events(), []);
    }
}

#[test]
fn words_that_are_not_the_guests_break_the_device() {
    for word in [0, SYSCTL_POWEROFF, SYSCTL_REBOOT, 3, 8, u32::MAX] {
        let mut guest = Guest::new();
        guest.bus.plug(Box::new(Sysctl::new())).unwrap();
        say(&mut guest, 1, word);
        assert!(matches!(guest.events()[..], [Event::Broken(..)]), "{word}");
        guest.request(0, 0, 0);
        say(&mut guest, 2, SYSCTL_ALIVE);
        assert!(matches!(guest.events()[..], [Event::Device(..)]), "{word}");
    }
}

#[test]
fn the_host_asks_and_rings() {
    let mut guest = Guest::new();
    let id = guest.bus.plug(Box::new(Sysctl::new())).unwrap();
    guest.take_rings();
    let requests = [
        (HostRequest::Poweroff, SYSCTL_POWEROFF),
        (HostRequest::Reboot, SYSCTL_REBOOT),
        (HostRequest::Reboot, SYSCTL_REBOOT),
    ];
    for (sequence, (request, word)) in (1u64..).zip(requests) {
        let asked = guest.bus.with_device(id, |it: &mut Sysctl| it.ask(request));
        assert_eq!(asked, Ok(()));
        let both: u64 = guest.get(0, BACK);
        assert_eq!(both, sequence | (u64::from(word) << 32));
        assert_eq!(guest.get::<u32>(0, GENERATION), sequence as u32);
        assert_eq!(guest.take_rings(), [Bell::Slot(0)]);
    }
    // The request outlives a reset by the driver.
    guest.request(0, 0, 0);
    assert_eq!(guest.get::<u64>(0, BACK) as u32, 3);
}

#[test]
fn memory_is_announced_and_admitted() {
    let mut guest = Guest::new();
    let id = guest.bus.plug(Box::new(Sysctl::new())).unwrap();
    guest.take_rings();
    let memory = offset_of!(lightvm_abi::Sysctl, memory_end);
    let end: u64 = 0x140_0000;
    guest.set(0, FRONT + memory, end);
    guest.bus.doorbell(0);
    let said = Event::Device(id, DeviceEvent::MemoryEnd(end));
    assert_eq!(guest.events(), [said]);
    assert_eq!(guest.get::<u64>(0, BACK + memory), 0);
    // A ring without news says nothing.
    guest.bus.doorbell(0);
    assert_eq!(guest.events(), []);
    let admitted = guest
        .bus
        .with_device(id, |it: &mut Sysctl| it.admit_memory(end));
    assert_eq!(admitted, Ok(()));
    assert_eq!(guest.get::<u64>(0, BACK + memory), end);
    assert_eq!(guest.take_rings(), [Bell::Slot(0)]);
}
