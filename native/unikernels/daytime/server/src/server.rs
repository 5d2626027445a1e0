// SPDX-License-Identifier: Apache-2.0
//! A few sockets that all listen on port 13.

use core::fmt::Write;
use core::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::address::Address;
use crate::calendar::DayTime;

const PORT: u16 = 13;
/// Callers that can be served at once.
pub const SOCKETS: usize = 8;
/// A client has nothing to say.
const RECEIVE: usize = 64;
/// Holds the longest line.
const SEND: usize = 128;

/// Memory for what goes through the sockets.
#[derive(Debug)]
pub struct Buffers {
    receive: [[u8; RECEIVE]; SOCKETS],
    send: [[u8; SEND]; SOCKETS],
}

impl Buffers {
    /// Empty ones.
    pub const fn new() -> Self {
        Self {
            receive: [[0; RECEIVE]; SOCKETS],
            send: [[0; SEND]; SOCKETS],
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// The service.
pub struct Server<'a> {
    interface: Interface,
    sockets: SocketSet<'a>,
    handles: [SocketHandle; SOCKETS],
}

impl<'a> Server<'a> {
    /// Listens at an address. `seed` should be a number that nobody can foretell.
    pub fn new(
        device: &mut impl Device,
        mac: [u8; 6],
        address: Address,
        seed: u64,
        storage: &'a mut [SocketStorage<'a>; SOCKETS],
        buffers: &'a mut Buffers,
    ) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, device, Instant::ZERO);
        interface.update_ip_addrs(|all| {
            // The list is empty and has room for more than one.
            let _ = all.push(IpCidr::Ipv4(address.ip));
        });
        if let Some(gateway) = address.gateway {
            // As above.
            let _ = interface.routes_mut().add_default_ipv4_route(gateway);
        }
        let mut sockets = SocketSet::new(&mut storage[..]);
        let mut pairs = buffers.receive.iter_mut().zip(&mut buffers.send);
        let handles = core::array::from_fn(|_| {
            let (receive, send) = pairs.next().expect("as many buffers as sockets");
            let receive = SocketBuffer::new(&mut receive[..]);
            let send = SocketBuffer::new(&mut send[..]);
            sockets.add(Socket::new(receive, send))
        });
        let mut server = Self {
            interface,
            sockets,
            handles,
        };
        server.serve(DayTime::since_1970(Duration::ZERO));
        server
    }

    /// Does what there is to do. Returns when it must be called again at the latest.
    pub fn poll(
        &mut self,
        device: &mut impl Device,
        now: Instant,
        time: DayTime,
    ) -> Option<Duration> {
        self.interface.poll(now, device, &mut self.sockets);
        if self.serve(time) {
            self.interface.poll(now, device, &mut self.sockets);
        }
        let delay = self.interface.poll_delay(now, &self.sockets)?;
        Some(Duration::from_micros(delay.total_micros()))
    }

    /// Answers and closes; true when there is something to send.
    fn serve(&mut self, time: DayTime) -> bool {
        let mut busy = false;
        for handle in self.handles {
            let socket = self.sockets.get_mut::<Socket<'_>>(handle);
            // Whoever closes first waits in TIME-WAIT; a socket in it could serve nobody.
            if socket.state() == State::TimeWait {
                socket.abort();
            }
            if !socket.is_open() {
                // Fails for port 0 and an open socket only.
                let _ = socket.listen(PORT);
            } else if socket.can_send() {
                // The buffer holds a line, and is empty before the first one.
                let _ = write!(Line(socket), "{time}\r\n");
                socket.close();
                busy = true;
            }
        }
        busy
    }
}

/// Text into a socket's buffer.
struct Line<'a, 'b>(&'a mut Socket<'b>);

impl Write for Line<'_, '_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let sent = self
            .0
            .send_slice(text.as_bytes())
            .map_err(|_| core::fmt::Error)?;
        if sent == text.len() {
            Ok(())
        } else {
            Err(core::fmt::Error)
        }
    }
}

#[cfg(test)]
mod tests;
