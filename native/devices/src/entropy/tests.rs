// SPDX-License-Identifier: Apache-2.0

use vm_memory::Bytes;

use super::Entropy;
use crate::test_support::{Buffer, Guest};
use crate::{Bell, Event};

fn buffer(guest: &mut Guest, length: u32, writable: bool) -> Buffer {
    Buffer {
        address: guest.allocate(length as usize),
        length,
        writable,
    }
}

#[test]
fn buffers_are_filled() {
    let (mut guest, _, mut rings) = Guest::with(Entropy::new());
    let ring = &mut rings[0];
    let parts = [buffer(&mut guest, 24, true), buffer(&mut guest, 40, true)];
    let head = ring.offer(&parts);
    ring.kick(&mut guest);
    assert_eq!(ring.used(), [(head, 64)]);
    assert_eq!(guest.take_rings(), [Bell::Slot(0)]);
    let mut bytes = [0; 40];
    guest
        .memory
        .read_slice(&mut bytes, parts[1].address)
        .unwrap();
    assert_ne!(bytes, [0; 40]);
    // A large one is filled in part.
    let large = buffer(&mut guest, 1 << 20, true);
    let head = ring.offer(&[large]);
    ring.kick(&mut guest);
    assert_eq!(ring.used(), [(head, 4096)]);
}

#[test]
fn the_event_index_saves_rings() {
    let (mut guest, _, mut rings) = Guest::with(Entropy::new());
    let ring = &mut rings[0];
    let small = buffer(&mut guest, 8, true);
    ring.set_used_event(2);
    for expected in [0, 0, 1, 0] {
        ring.offer(&[small]);
        ring.kick(&mut guest);
        assert_eq!(guest.take_rings().len(), expected);
    }
}

#[test]
fn a_buffer_that_can_not_be_written_breaks_the_device() {
    for parts in [&[false][..], &[false, true]] {
        let (mut guest, _, mut rings) = Guest::with(Entropy::new());
        let list: Vec<Buffer> = parts.iter().map(|it| buffer(&mut guest, 8, *it)).collect();
        rings[0].offer(&list);
        rings[0].kick(&mut guest);
        assert!(matches!(guest.events()[..], [Event::Broken(..)]));
    }
}
