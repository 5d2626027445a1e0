// SPDX-License-Identifier: Apache-2.0

mod hostile;

use super::wire::{Credit, FromGuest, HEADER_LENGTH, Header, Operation, Ports};
use super::{ConnectionId, SendError, VsockEvent, VsockOptions};
use crate::test_support::{Packet, Random, VsockDriver};
use crate::{DeviceEvent, Event};

const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
const RESET: u16 = 3;
const SHUTDOWN: u16 = 4;
const DATA: u16 = 5;
const CREDIT_UPDATE: u16 = 6;
const CREDIT_REQUEST: u16 = 7;

const FIRST: ConnectionId = ConnectionId(1);
const SECOND: ConnectionId = ConnectionId(2);

fn options() -> VsockOptions {
    VsockOptions {
        max_connections: 4,
        receive_buffer: 8192,
        send_buffer: 10_000,
        ..VsockOptions::new(3, &[1024, 1025])
    }
}

fn driver() -> VsockDriver {
    VsockDriver::new(options())
}

/// A driver with one open connection, guest port 7 to host port 1024.
fn connected() -> VsockDriver {
    let mut driver = driver();
    driver.send(&Packet::new(REQUEST, 7, 1024, b""));
    assert_eq!(operations(&driver.take()), [RESPONSE]);
    let opened = VsockEvent::Opened {
        connection: FIRST,
        port: 1024,
    };
    assert_eq!(events(&mut driver), [opened]);
    driver
}

fn events(driver: &mut VsockDriver) -> Vec<VsockEvent> {
    let unpack = |event| match event {
        Event::Device(_, DeviceEvent::Vsock(event)) => event,
        other => panic!("not of vsock: {other:?}"),
    };
    driver.guest.events().into_iter().map(unpack).collect()
}

fn operations(packets: &[Packet]) -> Vec<u16> {
    packets.iter().map(|packet| packet.operation).collect()
}

fn take_all(driver: &mut VsockDriver) -> Vec<u8> {
    driver.host(|vsock| {
        let bytes = vsock.received(FIRST).to_vec();
        vsock.consume(FIRST, bytes.len());
        bytes
    })
}

fn closed(connection: ConnectionId, reset: bool) -> VsockEvent {
    VsockEvent::Closed { connection, reset }
}

#[test]
fn a_connection_is_answered_from_our_side() {
    let mut driver = driver();
    driver.send(&Packet::new(REQUEST, 7, 1025, b""));
    let packets = driver.take();
    assert_eq!(packets.len(), 1);
    let answer = &packets[0];
    assert_eq!((answer.source_cid, answer.destination_cid), (2, 3));
    assert_eq!((answer.source, answer.destination), (1025, 7));
    assert_eq!((answer.kind, answer.operation), (1, RESPONSE));
    assert_eq!((answer.buffer, answer.forwarded), (8192, 0));
}

#[test]
fn data_goes_both_ways() {
    let mut driver = connected();
    driver.send(&Packet::new(DATA, 7, 1024, b"hello "));
    driver.send(&Packet::new(DATA, 7, 1024, b"host"));
    // Told once, until the VMM looks.
    assert_eq!(
        events(&mut driver),
        [VsockEvent::Data { connection: FIRST }]
    );
    assert_eq!(take_all(&mut driver), b"hello host");
    let sent = driver.host(|vsock| vsock.send(FIRST, b"hello guest"));
    assert_eq!(sent, Ok(11));
    let packets = driver.take();
    assert_eq!(operations(&packets), [DATA]);
    assert_eq!(packets[0].data, b"hello guest");
    assert_eq!(packets[0].forwarded, 10);
}

#[test]
fn credit_comes_back_when_data_is_taken() {
    let mut driver = connected();
    driver.send(&Packet::new(DATA, 7, 1024, &[b'a'; 8192]));
    driver.host(|vsock| vsock.consume(FIRST, 4095));
    assert_eq!(driver.take(), []);
    driver.host(|vsock| vsock.consume(FIRST, 1));
    let packets = driver.take();
    assert_eq!(operations(&packets), [CREDIT_UPDATE]);
    assert_eq!(packets[0].forwarded, 4096);
    driver.send(&Packet::new(DATA, 7, 1024, &[b'b'; 4096]));
    assert_eq!(take_all(&mut driver).len(), 8192);
    driver.send(&Packet::new(CREDIT_REQUEST, 7, 1024, b""));
    let packets = driver.take();
    assert_eq!(packets.last().unwrap().forwarded, 12_288);
}

#[test]
fn we_keep_to_the_guests_credit() {
    let mut driver = driver();
    driver.send(&Packet::new(REQUEST, 7, 1024, b"").credit(1000, 0));
    driver.take();
    events(&mut driver);
    let sent = driver.host(|vsock| vsock.send(FIRST, &[b'z'; 20_000]));
    assert_eq!(sent, Ok(10_000));
    let packets = driver.take();
    assert_eq!(packets.iter().map(|it| it.data.len()).sum::<usize>(), 1000);
    assert_eq!(events(&mut driver), []);
    // Nonsense about what it took is no credit.
    driver.send(&Packet::new(CREDIT_UPDATE, 7, 1024, b"").credit(1000, 5000));
    assert_eq!(driver.take(), []);
    driver.send(&Packet::new(CREDIT_UPDATE, 7, 1024, b"").credit(6000, 1000));
    let mut taken = 0;
    loop {
        let packets = driver.take();
        if packets.is_empty() {
            break;
        }
        taken += packets.iter().map(|it| it.data.len()).sum::<usize>();
        driver.receive.kick(&mut driver.guest);
    }
    assert_eq!(taken, 6000);
    let writable = VsockEvent::Writable { connection: FIRST };
    assert_eq!(events(&mut driver), [writable]);
}

#[test]
fn a_guest_that_closes_is_drained_first() {
    let mut driver = connected();
    driver.send(&Packet::new(DATA, 7, 1024, b"last words"));
    driver.send(&Packet::new(SHUTDOWN, 7, 1024, b"").flags(3));
    let data = VsockEvent::Data { connection: FIRST };
    let shutdown = VsockEvent::Shutdown { connection: FIRST };
    assert_eq!(events(&mut driver), [data, shutdown]);
    assert_eq!(driver.take(), []);
    let sent = driver.host(|vsock| vsock.send(FIRST, b"x"));
    assert_eq!(sent, Err(SendError::Shutdown));
    assert_eq!(take_all(&mut driver), b"last words");
    assert_eq!(events(&mut driver), [closed(FIRST, false)]);
    assert_eq!(operations(&driver.take()), [RESET]);
}

#[test]
fn a_guest_that_gives_up_waiting_loses_nothing_that_it_sent() {
    let mut driver = connected();
    driver.send(&Packet::new(DATA, 7, 1024, b"last words"));
    driver.send(&Packet::new(SHUTDOWN, 7, 1024, b"").flags(3));
    driver.send(&Packet::new(RESET, 7, 1024, b""));
    // The ports are free for another connection meanwhile.
    driver.send(&Packet::new(REQUEST, 7, 1024, b""));
    assert_eq!(operations(&driver.take()), [RESPONSE]);
    events(&mut driver);
    assert_eq!(take_all(&mut driver), b"last words");
    assert_eq!(events(&mut driver), [closed(FIRST, false)]);
    assert_eq!(driver.take(), []);
    driver.send(&Packet::new(DATA, 7, 1024, b"new"));
    assert_eq!(
        events(&mut driver),
        [VsockEvent::Data { connection: SECOND }]
    );
}

#[test]
fn half_closed_connections_still_carry_the_other_half() {
    let mut driver = connected();
    driver.send(&Packet::new(SHUTDOWN, 7, 1024, b"").flags(2));
    assert_eq!(
        events(&mut driver),
        [VsockEvent::Shutdown { connection: FIRST }]
    );
    driver.host(|vsock| {
        assert_eq!(vsock.send(FIRST, b"answer"), Ok(6));
        vsock.shutdown(FIRST);
        assert_eq!(vsock.send(FIRST, b"x"), Err(SendError::Shutdown));
    });
    let packets = driver.take();
    assert_eq!(operations(&packets), [DATA, SHUTDOWN]);
    assert_eq!(packets[1].flags, 3);
    driver.send(&Packet::new(RESET, 7, 1024, b""));
    assert_eq!(events(&mut driver), [closed(FIRST, false)]);
    // Data after a shutdown is against the rules.
    let mut driver = connected();
    driver.send(&Packet::new(SHUTDOWN, 7, 1024, b"").flags(2));
    driver.send(&Packet::new(DATA, 7, 1024, b"x"));
    assert_eq!(operations(&driver.take()), [RESET]);
}

#[test]
fn the_host_may_end_its_half_or_all() {
    let mut driver = connected();
    driver.host(|vsock| vsock.shutdown(FIRST));
    let packets = driver.take();
    assert_eq!(operations(&packets), [SHUTDOWN]);
    assert_eq!(packets[0].flags, 2);
    driver.send(&Packet::new(DATA, 7, 1024, b"still here"));
    assert_eq!(take_all(&mut driver), b"still here");
    events(&mut driver);
    driver.host(|vsock| vsock.reset_connection(FIRST));
    assert_eq!(operations(&driver.take()), [RESET]);
    assert_eq!(events(&mut driver), []);
}

#[test]
fn a_waiting_writer_hears_that_the_guest_takes_nothing_more() {
    let mut driver = driver();
    driver.send(&Packet::new(REQUEST, 7, 1024, b"").credit(0, 0));
    driver.take();
    events(&mut driver);
    let sent = driver.host(|vsock| vsock.send(FIRST, &[0; 20_000]));
    assert_eq!(sent, Ok(10_000));
    driver.send(&Packet::new(SHUTDOWN, 7, 1024, b"").flags(1));
    let writable = VsockEvent::Writable { connection: FIRST };
    assert_eq!(events(&mut driver), [writable]);
}

#[test]
fn a_driver_that_restarts_finds_nothing_left() {
    let mut driver = connected();
    driver.send(&Packet::new(REQUEST, 8, 1025, b""));
    driver.guest.events();
    driver.guest.request(0, 0, 0);
    let expected = [closed(FIRST, true), closed(SECOND, true)];
    assert_eq!(events(&mut driver), expected);
}

#[test]
fn headers_survive_the_way_to_bytes_and_back() {
    let ports = Ports {
        guest: 0x0102_0304,
        host: 0x0506_0708,
    };
    let credit = Credit {
        buffer: u32::MAX,
        forwarded: 0x8000_0001,
    };
    let shutdown = Operation::Shutdown {
        receive: true,
        send: false,
    };
    let operations = [Operation::Request, Operation::Data, shutdown];
    for operation in operations {
        let header = Header {
            ports,
            operation,
            length: 77,
            credit,
        };
        let mut bytes = header.to_guest(3);
        // Turned around, a packet to the guest is one from it.
        let (cids, rest) = bytes.split_at_mut(16);
        cids.rotate_left(8);
        rest[..8].rotate_left(4);
        assert_eq!(FromGuest::parse(&bytes, 3), FromGuest::Packet(header));
    }
}

/// Bytes of a long stream arrive as they were sent, whatever the pace of both sides.
#[test]
fn a_long_stream_arrives_whole() {
    let mut driver = connected();
    let mut random = Random::new(99);
    let pattern = |at: usize| (at % 253) as u8;
    let total = 1 << 20;
    let (mut sent, mut taken, mut arrived) = (0, 0, 0);
    let (mut up_sent, mut credit) = (0, 0);
    while arrived < total || taken < total {
        let chunk: Vec<u8> = (sent..total.min(sent + 3000)).map(pattern).collect();
        sent += driver.host(|vsock| vsock.send(FIRST, &chunk)).unwrap();
        for packet in driver.take() {
            credit = packet.forwarded as usize;
            for byte in packet.data {
                assert_eq!(byte, pattern(arrived));
                arrived += 1;
            }
        }
        let window = 8192 - (up_sent - credit);
        let size = window.min(total - up_sent).min(random.below(4000) as usize);
        let data: Vec<u8> = (up_sent..up_sent + size).map(pattern).collect();
        let packet = Packet::new(DATA, 7, 1024, &data).credit(16_384, arrived as u32);
        driver.send(&packet);
        driver.transmit.used();
        up_sent += size;
        let limit = random.below(6000) as usize;
        taken += driver.host(|vsock| {
            let bytes = vsock.received(FIRST);
            let count = bytes.len().min(limit);
            for (offset, byte) in bytes[..count].iter().enumerate() {
                assert_eq!(*byte, pattern(taken + offset));
            }
            vsock.consume(FIRST, count);
            count
        });
        driver.guest.events();
        driver.guest.take_rings();
    }
}
