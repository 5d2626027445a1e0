// SPDX-License-Identifier: Apache-2.0
//! Addresses of an interface.

use std::io;

use crate::message::{CREATE, EXCLUSIVE, Request, byte, find, malformed, number};
use crate::prefix::{Prefix, from_octets, octets};
use crate::socket::{CHANGE, LIST, Netlink};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: usable at once.
const IFA_F_NODAD: u32 = 0x02;
/// No route to the address's network by itself.
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RT_SCOPE_UNIVERSE: u8 = 0;
/// Bytes of struct ifaddrmsg.
const IFADDR: usize = 8;

impl Netlink {
    /// The addresses of an interface whose scope is the world, in the order in which it has them.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<Prefix>> {
        let request = Request::new(RTM_GETADDR, LIST, &[0; IFADDR]);
        self.list(request, |body| read(body, index))
    }

    /// Adds an address that is usable at once and brings no route.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn add_address(&mut self, index: u32, address: Prefix) -> io::Result<()> {
        let mut structure = vec![address.family(), address.length(), 0, RT_SCOPE_UNIVERSE];
        structure.extend(index.to_ne_bytes());
        let bytes = octets(address.address());
        self.change(
            Request::new(RTM_NEWADDR, CHANGE | CREATE | EXCLUSIVE, &structure)
                .attribute(IFA_LOCAL, &bytes)
                .attribute(IFA_ADDRESS, &bytes)
                .number(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE),
        )
    }
}

fn read(body: &[u8], index: u32) -> io::Result<Option<Prefix>> {
    if number(body, 4)? != index || byte(body, 3)? != RT_SCOPE_UNIVERSE {
        return Ok(None);
    }
    let attributes = body.get(IFADDR..).ok_or_else(malformed)?;
    // The peer's address is in IFA_ADDRESS when there is one; IPv6 has no IFA_LOCAL without.
    let value = match find(attributes, IFA_LOCAL)? {
        Some(value) => Some(value),
        None => find(attributes, IFA_ADDRESS)?,
    };
    let address = value.and_then(from_octets).ok_or_else(malformed)?;
    Prefix::new(address, byte(body, 1)?)
        .map(Some)
        .ok_or_else(malformed)
}
