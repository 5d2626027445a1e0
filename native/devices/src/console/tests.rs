// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::Ordering;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{ConsoleError, ConsoleRing, Drained, OUT, OUT_CONSUMED, OUT_PRODUCED, OUT_SIZE};

const PAGE: GuestAddress = GuestAddress(4096);

fn ring() -> (GuestMemoryMmap, ConsoleRing) {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 3 * 4096)]).unwrap();
    let ring = ConsoleRing::new(memory.clone(), PAGE).unwrap();
    (memory, ring)
}

fn index(memory: &GuestMemoryMmap, offset: usize) -> u32 {
    let address = GuestAddress(PAGE.0 + offset as u64);
    memory.load(address, Ordering::Acquire).unwrap()
}

fn produce(memory: &GuestMemoryMmap, value: u32) {
    let address = GuestAddress(PAGE.0 + OUT_PRODUCED as u64);
    memory.store(value, address, Ordering::Release).unwrap();
}

/// Prints as a guest does; false when there is no room.
fn print(memory: &GuestMemoryMmap, text: &[u8]) -> bool {
    let produced = index(memory, OUT_PRODUCED);
    let used = produced.wrapping_sub(index(memory, OUT_CONSUMED)) as usize;
    if used + text.len() > OUT_SIZE {
        return false;
    }
    for (number, byte) in (0u32..).zip(text) {
        let position = produced.wrapping_add(number) as usize % OUT_SIZE;
        let address = GuestAddress(PAGE.0 + (OUT + position) as u64);
        memory.write_obj(*byte, address).unwrap();
    }
    produce(memory, produced.wrapping_add(text.len() as u32));
    true
}

#[test]
fn lines_come_in_order_around_the_ring() {
    let (memory, mut ring) = ring();
    let mut expected = Vec::new();
    let mut sink = Vec::new();
    for number in 0..2000 {
        let line = format!("[{number}] a line of the guest's console\n");
        if !print(&memory, line.as_bytes()) {
            let drained = ring.drain(&mut sink);
            assert!(drained.ring && !drained.lost);
            assert!(print(&memory, line.as_bytes()));
        }
        expected.extend(line.bytes());
    }
    ring.drain(&mut sink);
    assert_eq!(sink, expected);
    assert_eq!(
        ring.drain(&mut sink),
        Drained {
            ring: false,
            bytes: 0,
            lost: false
        }
    );
}

#[test]
fn a_full_ring_and_wrapping_indexes_are_fine() {
    let (memory, mut ring) = ring();
    let mut sink = Vec::new();
    // Lost once, to bring the index close to its end.
    produce(&memory, u32::MAX - 1000);
    assert!(ring.drain(&mut sink).lost);
    assert!(print(&memory, &[b'x'; OUT_SIZE]));
    assert_eq!(ring.drain(&mut sink).bytes, OUT_SIZE);
    assert_eq!(sink, [b'x'; OUT_SIZE]);
    assert_eq!(index(&memory, OUT_CONSUMED), 1047);
}

#[test]
fn any_index_is_survived() {
    let (memory, mut ring) = ring();
    let mut random = crate::test_support::Random::new(7);
    let mut sink = Vec::new();
    for _ in 0..20_000 {
        let produced = random.next() as u32 >> random.below(32);
        produce(&memory, produced);
        sink.clear();
        let drained = ring.drain(&mut sink);
        assert_eq!(drained.bytes, sink.len());
        assert!(sink.len() <= OUT_SIZE);
        assert_eq!(index(&memory, OUT_CONSUMED), produced);
    }
}

#[test]
fn the_ring_must_be_in_ram() {
    let (memory, _) = ring();
    for address in [4097, 3 * 4096, u64::MAX - 4095] {
        let ring = ConsoleRing::new(memory.clone(), GuestAddress(address));
        assert_eq!(ring.err(), Some(ConsoleError::BadRing));
    }
}
