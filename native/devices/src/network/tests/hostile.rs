// SPDX-License-Identifier: Apache-2.0
//! A guest that keeps to no rules.

use super::*;
use crate::test_support::Random;

#[test]
fn frames_that_are_none_go_nowhere() {
    let mut driver = Driver::new();
    let unknown_flag = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let far_checksum = [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0];
    let udp_segments = [1, 3, 42, 0, 100, 0, 34, 0, 6, 0, 0, 0];
    for header in [unknown_flag, far_checksum, udp_segments] {
        driver.send(&[&header, &[0; 1000]]);
    }
    driver.send(&[&[0; HEADER_LENGTH]]);
    driver.send(&[&[0; HEADER_LENGTH + 13]]);
    driver.send(&[&vec![0; MAX_FRAME + 1]]);
    assert_eq!(driver.transmit.used().len(), 6, "each is given back");
    assert_eq!(driver.sent(), None);
    assert_eq!(driver.guest.events(), []);
    // The device still works.
    driver.send(&[&[0; HEADER_LENGTH + 14]]);
    assert!(driver.sent().is_some());
}

#[test]
fn chains_that_are_none_break_the_device() {
    let mut short = Driver::new();
    short.send(&[&[0; HEADER_LENGTH - 1]]);
    assert!(matches!(short.guest.events()[..], [.., Event::Broken(..)]));
    assert_eq!(short.sent(), None);

    for (length, writable) in [(HEADER_LENGTH as u32 - 1, true), (100, false)] {
        let mut driver = Driver::new();
        let address = driver.guest.allocate(100);
        driver.receive.offer(&[Buffer {
            address,
            length,
            writable,
        }]);
        driver.arrive(60);
        driver.tap_is_ready();
        assert!(matches!(driver.guest.events()[..], [.., Event::Broken(..)]));
    }
}

#[test]
fn buffers_that_can_never_hold_a_frame_cost_that_frame() {
    let mut driver = Driver::new();
    for _ in 0..16 {
        driver.give(HEADER_LENGTH as u32);
    }
    driver.arrive(1000);
    driver.arrive(100);
    driver.tap_is_ready();
    let received = driver.received();
    assert_eq!(received.concat().len(), HEADER_LENGTH + 100);
    assert!(!driver.guest.bus.has_pending(), "no busy waiting");
}

#[test]
fn a_reset_forgets_everything() {
    let mut driver = Driver::new();
    driver.give(20);
    driver.arrive(1000);
    driver.tap_is_ready();
    assert_eq!(driver.received(), Vec::<Vec<u8>>::new());
    driver.guest.events();
    let mut rings = driver.guest.start(0, 2, 16);
    driver.guest.events();
    driver.transmit = rings.pop().unwrap();
    driver.receive = rings.pop().unwrap();
    driver.buffers.clear();
    driver.give(100);
    driver.arrive(50);
    driver.tap_is_ready();
    assert_eq!(driver.received()[0].len(), HEADER_LENGTH + 50);
}

/// A guest that does anything, and a tap that brings anything.
#[test]
fn anything_is_survived() {
    let mut random = Random::new(0x6e65_7477);
    for _ in 0..200 {
        let mut driver = Driver::new();
        for _ in 0..100 {
            match random.below(4) {
                0 => {
                    let length = random.below(3000) as usize;
                    let mut bytes = vec![0; length];
                    for byte in bytes.iter_mut().take(16) {
                        *byte = random.next() as u8 & random.next() as u8 & random.next() as u8;
                    }
                    let middle = random.below(length as u64 + 1) as usize;
                    driver.send(&[&bytes[..middle], &bytes[middle..]]);
                }
                1 => {
                    let length = random.below(2000) as u32;
                    driver.give(length);
                    driver.receive.kick(&mut driver.guest);
                }
                2 => {
                    let length = random.below(4000) as usize;
                    // The tap may be full.
                    drop(driver.far.send(&vec![0; length]));
                    driver.tap_is_ready();
                }
                _ => {
                    let ring = [&mut driver.transmit, &mut driver.receive]
                        .into_iter()
                        .nth(random.below(2) as usize);
                    if let Some(ring) = ring {
                        ring.publish(random.next() as u16);
                        ring.kick(&mut driver.guest);
                    }
                }
            }
            while driver.sent().is_some() {}
            driver.guest.bus.run_pending();
        }
    }
}
