// SPDX-License-Identifier: Apache-2.0
//! daytime: a pod that tells the time (RFC 867). A TCP stack, a network card and a clock, and no
//! operating system between them.
//!
//! Its command line: `ip=10.1.2.3/24 gateway=10.1.2.1`.
#![no_std]
#![no_main]

mod card;

use daytime_server::{Address, Buffers, DayTime, SOCKETS, Server};
use lightvm_abi::TYPE_NET;
use smoltcp::iface::SocketStorage;
use smoltcp::time::Instant;
use unikernel_guest::{Guest, NoxsTransport, PortBell, Woken, value};
use unikernel_platform::{NetworkCard, StartInfo, entry, random_seed};

use card::Card;

entry!(main);

fn main(start: &StartInfo) -> ! {
    let mut guest = Guest::start(start);
    let line = start.command_line();
    let address = match Address::parse(value(line, "ip"), value(line, "gateway")) {
        Ok(address) => address,
        Err(error) => panic!("no address: {error}"),
    };
    let device = guest
        .region()
        .device(TYPE_NET)
        .expect("this pod has no network card");
    let bell = PortBell {
        channels: *guest.channels(),
        port: device.port,
    };
    let raw =
        NetworkCard::new(NoxsTransport::new(device, bell)).expect("a network card that works");
    let mac = raw.mac_address();
    let mut card = Card(raw);
    let mut storage = [SocketStorage::EMPTY; SOCKETS];
    let mut buffers = Buffers::new();
    let seed = random_seed();
    let mut server = Server::new(&mut card, mac, address, seed, &mut storage, &mut buffers);
    guest.print(format_args!("daytime: {} answers on port 13\n", address.ip));
    loop {
        let now = guest.channels().system_time();
        let time = DayTime::since_1970(guest.channels().wall_time());
        let microseconds = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let again = server.poll(&mut card, Instant::from_micros(microseconds), time);
        let deadline = again.map(|delay| now + delay);
        if guest.wait(&[device.port], deadline) == Woken::PowerOff {
            guest.print(format_args!("daytime: powering off\n"));
            guest.power_off();
        }
    }
}
