// SPDX-License-Identifier: Apache-2.0
//! Clients and the server on one wire.

extern crate std;

#[path = "wire.rs"]
mod wire;

use std::boxed::Box;
use std::string::String;
use std::vec;
use std::vec::Vec;

use smoltcp::wire::Ipv4Address;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LINE: &str = "Sunday, September 9, 2001 01:46:40-UTC\r\n";

/// What clients are told, who come `callers` at a time.
fn ask(rounds: u16, callers: u16) -> Vec<String> {
    let (mut client_end, mut server_end) = wire::cable();
    let address = Address::parse(Some("10.0.0.1/24"), None).unwrap();
    let storage: &'static mut _ = Box::leak(Box::new([SocketStorage::EMPTY; SOCKETS]));
    let buffers: &'static mut _ = Box::leak(Box::new(Buffers::new()));
    let mut server = Server::new(&mut server_end, MAC, address, 1, storage, buffers);
    let hardware = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2]));
    let mut interface = Interface::new(Config::new(hardware), &mut client_end, Instant::ZERO);
    interface.update_ip_addrs(|all| all.push("10.0.0.2/24".parse().unwrap()).unwrap());
    let time = DayTime::since_1970(Duration::from_secs(1_000_000_000));
    let mut clock = 0;
    let mut answers = Vec::new();
    for round in 0..rounds {
        let mut clients = SocketSet::new(vec![]);
        let mut connect = |index| {
            let buffer = || SocketBuffer::new(vec![0; 256]);
            let mut socket = Socket::new(buffer(), buffer());
            let local = 50_000 + round * callers + index;
            socket
                .connect(
                    interface.context(),
                    (Ipv4Address::new(10, 0, 0, 1), PORT),
                    local,
                )
                .unwrap();
            (clients.add(socket), String::new())
        };
        let mut waiting: Vec<_> = (0..callers).map(&mut connect).collect();
        for _ in 0..200 {
            clock += 1;
            interface.poll(Instant::from_millis(clock), &mut client_end, &mut clients);
            server.poll(&mut server_end, Instant::from_millis(clock), time);
            for (handle, answer) in &mut waiting {
                let socket = clients.get_mut::<Socket<'_>>(*handle);
                if socket.can_recv() {
                    let text = socket
                        .recv(|bytes| (bytes.len(), Vec::from(bytes)))
                        .unwrap();
                    answer.push_str(core::str::from_utf8(&text).unwrap());
                }
                if socket.state() == State::CloseWait {
                    socket.close();
                }
            }
        }
        answers.extend(waiting.into_iter().map(|(_, answer)| answer));
    }
    answers
}

#[test]
fn each_caller_gets_one_line() {
    assert_eq!(ask(1, 1), [LINE]);
    assert!(ask(1, SOCKETS as u16).iter().all(|answer| answer == LINE));
}

#[test]
fn a_socket_is_free_again_when_its_caller_has_gone() {
    let answers = ask(5, SOCKETS as u16);
    assert_eq!(answers.len(), 5 * SOCKETS);
    assert!(answers.iter().all(|answer| answer == LINE));
}

#[test]
fn who_finds_no_socket_is_refused_at_once() {
    let answers = ask(1, SOCKETS as u16 + 2);
    assert_eq!(
        answers.iter().filter(|answer| *answer == LINE).count(),
        SOCKETS
    );
    assert_eq!(answers.iter().filter(|answer| answer.is_empty()).count(), 2);
}
