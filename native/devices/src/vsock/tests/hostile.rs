// SPDX-License-Identifier: Apache-2.0
//! A guest that keeps to no rules.

use vm_memory::{Bytes, GuestAddress};

use super::*;

#[test]
fn strangers_are_reset() {
    let table: [(&str, Packet, &[u16]); 9] = [
        ("unknown port", Packet::new(REQUEST, 7, 22, b""), &[RESET]),
        ("no connection", Packet::new(DATA, 7, 1024, b"x"), &[RESET]),
        ("unknown operation", Packet::new(9, 7, 1024, b""), &[RESET]),
        ("operation 0", Packet::new(0, 7, 1024, b""), &[RESET]),
        ("stray reset", Packet::new(RESET, 7, 1024, b""), &[]),
        ("response", Packet::new(RESPONSE, 7, 1024, b""), &[RESET]),
        (
            "seqpacket",
            Packet {
                kind: 2,
                ..Packet::new(REQUEST, 7, 1024, b"")
            },
            &[RESET],
        ),
        (
            "another host",
            Packet {
                destination_cid: 4,
                ..Packet::new(REQUEST, 7, 1024, b"")
            },
            &[RESET],
        ),
        (
            "false sender",
            Packet {
                source_cid: 4,
                ..Packet::new(REQUEST, 7, 1024, b"")
            },
            &[],
        ),
    ];
    for (what, packet, expected) in table {
        let mut driver = driver();
        driver.send(&packet);
        assert_eq!(operations(&driver.take()), expected, "{what}");
        assert_eq!(events(&mut driver), [], "{what}");
    }
}

#[test]
fn there_are_only_so_many_connections() {
    let mut driver = driver();
    for port in 1..=5 {
        driver.send(&Packet::new(REQUEST, port, 1024, b""));
    }
    let answers = operations(&driver.take());
    let count = |operation| answers.iter().filter(|it| **it == operation).count();
    assert_eq!((count(RESPONSE), count(RESET)), (4, 1));
    assert_eq!(events(&mut driver).len(), 4);
    // One that goes makes room.
    driver.send(&Packet::new(RESET, 2, 1024, b""));
    assert_eq!(events(&mut driver), [closed(SECOND, true)]);
    driver.send(&Packet::new(REQUEST, 9, 1024, b""));
    assert_eq!(operations(&driver.take()), [RESPONSE]);
}

#[test]
fn a_second_request_ends_the_connection() {
    let mut driver = connected();
    driver.send(&Packet::new(REQUEST, 7, 1024, b""));
    assert_eq!(operations(&driver.take()), [RESET]);
    assert_eq!(events(&mut driver), [closed(FIRST, true)]);
}

#[test]
fn a_guest_that_ignores_its_credit_is_reset() {
    let mut driver = connected();
    driver.send(&Packet::new(DATA, 7, 1024, &[b'a'; 8192]));
    driver.send(&Packet::new(DATA, 7, 1024, b"x"));
    assert_eq!(operations(&driver.take()), [RESET]);
    let data = VsockEvent::Data { connection: FIRST };
    assert_eq!(events(&mut driver), [data, closed(FIRST, true)]);
    let sent = driver.host(|vsock| vsock.send(FIRST, b"x"));
    assert_eq!(sent, Err(SendError::Unknown));
}

#[test]
fn a_guest_without_buffers_is_not_heard_and_costs_nothing() {
    let mut driver = VsockDriver::without_buffers(options());
    let mut heard = 0;
    for port in 0..200 {
        driver.send(&Packet::new(DATA, port, 1024, b""));
        heard += driver.transmit.used().len();
        assert!(!driver.guest.bus.has_pending(), "no busy waiting");
        if heard < port as usize {
            break;
        }
    }
    assert_eq!(heard, 64);
    // Buffers make it go on.
    for _ in 0..8 {
        let address = driver.guest.allocate(4096);
        driver.give(address);
    }
    let mut resets = 0;
    loop {
        driver.receive.kick(&mut driver.guest);
        let packets = driver.take();
        if packets.is_empty() {
            break;
        }
        resets += packets.len();
    }
    heard += driver.transmit.used().len();
    assert_eq!(resets, heard);
}

#[test]
fn packets_that_are_none_break_the_device() {
    let short = Packet::new(DATA, 7, 1024, b"").to_bytes()[..43].to_vec();
    let lies = Packet {
        length: 5,
        ..Packet::new(DATA, 7, 1024, b"four")
    };
    for bytes in [short, lies.to_bytes()] {
        let mut driver = connected();
        driver.send_bytes(&bytes);
        let events = driver.guest.events();
        let gone = Event::Device(driver.id, DeviceEvent::Vsock(closed(FIRST, true)));
        assert_eq!(events[0], gone);
        assert!(matches!(events[1], Event::Broken(..)));
    }
}

#[test]
fn any_header_is_parsed() {
    let mut random = Random::new(0x766d);
    for _ in 0..50_000 {
        let mut bytes = [0; HEADER_LENGTH];
        for byte in &mut bytes {
            *byte = random.next() as u8;
        }
        FromGuest::parse(&bytes, random.next() as u32);
    }
}

/// A guest that sends anything, and a VMM that does anything that it may do.
#[test]
fn any_packets_are_survived() {
    let mut driver = driver();
    let mut random = Random::new(0x7673_6f63);
    let broken = |driver: &VsockDriver| {
        let status = std::mem::offset_of!(lightvm_abi::ControlPage, back.status);
        driver.guest.get::<u32>(0, status) & crate::test_support::NEEDS_RESET != 0
    };
    let mut opened = 0;
    for round in 0..100_000 {
        let longest = [64, 9000][usize::from(random.below(8) == 0)];
        let length = random.below(longest) as usize;
        let ports = [1024, 1025, 5, random.next() as u32];
        let mut packet = Packet::new(
            random.below(9) as u16,
            random.below(6) as u32,
            ports[random.below(4) as usize],
            &vec![round as u8; length],
        )
        .flags(random.below(4) as u32)
        .credit(
            random.next() as u32 >> random.below(32),
            random.below(9000) as u32,
        );
        match random.below(200) {
            0 => packet.length = random.next() as u32,
            1 => packet.kind = random.next() as u16,
            2 => packet.source_cid = random.next(),
            _ => {}
        }
        driver.send(&packet);
        let id = ConnectionId(random.below(opened + 2));
        let count = random.below(20_000) as usize;
        match random.below(12) {
            0..4 => driver.host(|vsock| vsock.consume(id, count)),
            4..8 => drop(driver.host(|vsock| vsock.send(id, &vec![1; count]))),
            8 => driver.host(|vsock| vsock.shutdown(id)),
            9 => driver.host(|vsock| vsock.reset_connection(id)),
            _ => assert!(driver.host(|vsock| vsock.received(id).len()) <= 8192),
        }
        driver.take();
        driver.transmit.used();
        for event in driver.guest.events() {
            if let Event::Device(_, DeviceEvent::Vsock(VsockEvent::Opened { connection, .. })) =
                event
            {
                assert!(connection.0 > opened, "ids are never reused");
                opened = connection.0;
            }
        }
        if broken(&driver) {
            driver = VsockDriver::new(options());
            opened = 0;
        }
        driver.guest.take_rings();
    }
}

#[test]
fn a_buffer_without_room_breaks_the_device() {
    let mut driver = VsockDriver::without_buffers(options());
    let address: GuestAddress = driver.guest.allocate(44);
    driver.guest.memory.write_slice(&[0; 44], address).unwrap();
    driver.receive.offer(&[crate::test_support::Buffer {
        address,
        length: 44,
        writable: true,
    }]);
    driver.send(&Packet::new(REQUEST, 7, 22, b""));
    let events = driver.guest.events();
    assert!(matches!(events[..], [Event::Broken(..)]), "{events:?}");
}
