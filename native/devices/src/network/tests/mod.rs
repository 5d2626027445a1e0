// SPDX-License-Identifier: Apache-2.0

mod hostile;

use std::fs::File;
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use lightvm_abi::ControlPage;
use vm_memory::Bytes;

use super::wire::{HEADER_LENGTH, MAX_FRAME, NEEDED_WITH_OFFLOADS};
use super::{Network, NetworkOptions, TapInterest};
use crate::test_support::{Buffer, DRIVER, FEATURES_OK, Guest, Ring};
use crate::{Bell, DeviceEvent, DeviceId, Event};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OPTIONS: NetworkOptions = NetworkOptions {
    mac: MAC,
    mtu: 1500,
    offloads: true,
};
const READS: TapInterest = TapInterest {
    read: true,
    write: false,
};

/// A driver, and the far end of what stands for its tap: datagrams keep frames apart as a tap does.
struct Driver {
    guest: Guest,
    id: DeviceId,
    receive: Ring,
    transmit: Ring,
    far: UnixDatagram,
    buffers: Vec<(u16, Buffer)>,
}

fn tap() -> (Rc<File>, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (Rc::new(File::from(OwnedFd::from(near))), far)
}

impl Driver {
    fn new() -> Self {
        let (tap, far) = tap();
        let (mut guest, id, mut rings) = Guest::with(Network::new(tap, OPTIONS));
        let transmit = rings.pop().unwrap();
        let receive = rings.pop().unwrap();
        guest.events();
        Self {
            guest,
            id,
            receive,
            transmit,
            far,
            buffers: Vec::new(),
        }
    }

    /// Gives a receive buffer.
    fn give(&mut self, length: u32) -> u16 {
        let address = self.guest.allocate(length as usize);
        let buffer = Buffer {
            address,
            length,
            writable: true,
        };
        let head = self.receive.offer(&[buffer]);
        self.buffers.push((head, buffer));
        head
    }

    /// What the guest's event loop does when the tap can be read or written.
    fn tap_is_ready(&mut self) {
        let served = self.guest.bus.with_device(self.id, |_: &mut Network| ());
        served.unwrap();
    }

    /// A frame of `length` bytes arrives at the tap.
    fn arrive(&mut self, length: usize) -> Vec<u8> {
        let frame: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut bytes = vec![0; HEADER_LENGTH];
        bytes.extend(&frame);
        self.far.send(&bytes).unwrap();
        frame
    }

    /// Receive buffers that came back, and what they hold.
    fn received(&mut self) -> Vec<Vec<u8>> {
        let used = self.receive.used();
        let content = used.into_iter().map(|(head, written)| {
            let known = self.buffers.iter().find(|(id, _)| *id == head).unwrap();
            let mut bytes = vec![0; written as usize];
            let read = self.guest.memory.read_slice(&mut bytes, known.1.address);
            read.unwrap();
            bytes
        });
        content.collect()
    }

    /// Sends bytes as one chain of parts.
    fn send(&mut self, parts: &[&[u8]]) {
        let mut chain = Vec::new();
        for part in parts {
            let address = self.guest.allocate(part.len());
            self.guest.memory.write_slice(part, address).unwrap();
            let length = part.len() as u32;
            chain.push(Buffer {
                address,
                length,
                writable: false,
            });
        }
        self.transmit.offer(&chain);
        self.transmit.kick(&mut self.guest);
    }

    /// The next frame that left through the tap, with its header.
    fn sent(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; MAX_FRAME + 1];
        let length = self.far.recv(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }

    fn interests(&mut self) -> Vec<TapInterest> {
        let pick = |event| match event {
            Event::Device(_, DeviceEvent::Tap(interest)) => interest,
            other => panic!("not of a tap: {other:?}"),
        };
        self.guest.events().into_iter().map(pick).collect()
    }
}

#[test]
fn a_frame_arrives_in_one_buffer() {
    let mut driver = Driver::new();
    driver.give(2048);
    let frame = driver.arrive(100);
    driver.tap_is_ready();
    let received = driver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0][..10], [0; 10]);
    assert_eq!(received[0][10..HEADER_LENGTH], [1, 0]);
    assert_eq!(received[0][HEADER_LENGTH..], frame);
    assert_eq!(driver.guest.take_rings(), [Bell::Slot(0)]);
}

#[test]
fn a_large_frame_is_spread_over_buffers_that_come_back_together() {
    let mut driver = Driver::new();
    for _ in 0..5 {
        driver.give(1000);
    }
    let frame = driver.arrive(3000);
    driver.tap_is_ready();
    let received = driver.received();
    let lengths: Vec<usize> = received.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1000, 1000, 1000, 12]);
    assert_eq!(received[0][10..HEADER_LENGTH], [4, 0]);
    assert_eq!(received.concat()[HEADER_LENGTH..], frame);
    // The fifth buffer is kept for the next frame.
    driver.arrive(60);
    driver.tap_is_ready();
    assert_eq!(driver.received().len(), 1);
}

#[test]
fn the_event_index_holds_for_buffers_that_come_back_together() {
    // Four buffers come back at once: the driver's wish may be any of them, or a later one.
    for (event, rings) in [(0, 1), (1, 1), (3, 1), (4, 0), (9, 0)] {
        let mut driver = Driver::new();
        driver.receive.set_used_event(event);
        for _ in 0..4 {
            driver.give(1000);
        }
        driver.arrive(3500);
        driver.tap_is_ready();
        assert_eq!(driver.received().len(), 4);
        assert_eq!(driver.guest.take_rings().len(), rings, "event {event}");
    }
}

#[test]
fn many_frames_cost_one_ring() {
    let mut driver = Driver::new();
    for _ in 0..10 {
        driver.give(1514);
        driver.arrive(600);
    }
    driver.tap_is_ready();
    assert_eq!(driver.received().len(), 10);
    assert_eq!(driver.guest.take_rings().len(), 1);
}

#[test]
fn frames_leave_through_the_tap_as_they_are() {
    let mut driver = Driver::new();
    let header = [1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 7, 7];
    let frame = [7; 5000];
    driver.send(&[&header, &frame[..54], &frame[54..]]);
    assert_eq!(driver.transmit.used().len(), 1);
    let sent = driver.sent().unwrap();
    assert_eq!(sent[..10], header[..10]);
    assert_eq!(sent[10..HEADER_LENGTH], [0, 0]);
    assert_eq!(sent[HEADER_LENGTH..], frame);
    assert_eq!(driver.sent(), None);
}

#[test]
fn a_guest_without_buffers_leaves_frames_in_the_tap() {
    let mut driver = Driver::new();
    driver.arrive(60);
    let second = driver.arrive(61);
    driver.tap_is_ready();
    assert_eq!(driver.interests(), [TapInterest::default()]);
    assert!(!driver.guest.bus.has_pending(), "no busy waiting");
    driver.give(100);
    driver.receive.kick(&mut driver.guest);
    assert_eq!(driver.received().len(), 1);
    assert_eq!(driver.interests(), [], "the next frame waits as well");
    driver.give(100);
    driver.receive.kick(&mut driver.guest);
    assert_eq!(driver.received()[0][HEADER_LENGTH..], second);
    assert_eq!(driver.interests(), [READS]);
}

#[test]
fn a_tap_that_takes_nothing_stops_the_guest() {
    let mut driver = Driver::new();
    let frame = [0; HEADER_LENGTH + 1000];
    // The stand-in for the tap holds a few hundred frames.
    while driver.interests().is_empty() {
        driver.send(&[&frame]);
    }
    driver.transmit.used();
    driver.send(&[&frame]);
    assert_eq!(driver.transmit.used(), [], "not heard");
    while driver.sent().is_some() {}
    driver.tap_is_ready();
    assert_eq!(driver.transmit.used().len(), 1);
    assert_eq!(driver.interests(), [READS]);
    assert_eq!(driver.sent().map(|frame| frame.len()), Some(1012));
}

#[test]
fn a_tap_that_is_gone_is_a_link_that_is_down() {
    let mut driver = Driver::new();
    let status = offset_of!(ControlPage, back.config) + 6;
    assert_eq!(driver.guest.get::<u16>(0, status), 1);
    let gone = |network: &mut Network| network.disconnect();
    driver.guest.bus.with_device(driver.id, gone).unwrap();
    assert_eq!(driver.guest.get::<u16>(0, status), 0);
    assert_eq!(driver.interests(), [TapInterest::default()]);
    driver.send(&[&[0; 100]]);
    assert_eq!(driver.transmit.used().len(), 1, "sent to nowhere");
}

#[test]
fn a_driver_must_be_able_to_do_what_is_left_to_it() {
    for (offloads, without, granted) in [
        (true, 0, true),
        (true, NEEDED_WITH_OFFLOADS, false),
        (true, 1 << 7, false),
        (true, 1 << 15, true),
        (false, 0, true),
    ] {
        let (tap, _far) = tap();
        let options = NetworkOptions {
            offloads,
            ..OPTIONS
        };
        let mut guest = Guest::new();
        let plugged = guest.bus.plug(Box::new(Network::new(tap, options)));
        plugged.unwrap();
        guest.request(0, 0, 0);
        let offered: u64 = guest.get(0, offset_of!(ControlPage, back.features));
        assert_eq!(offered & NEEDED_WITH_OFFLOADS != 0, offloads);
        let front = offset_of!(ControlPage, front.features);
        guest.set(0, front, offered & !without);
        let verdict = guest.request(0, DRIVER | FEATURES_OK, 0);
        assert_eq!(verdict & FEATURES_OK != 0, granted);
    }
}
