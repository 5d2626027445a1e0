// SPDX-License-Identifier: Apache-2.0
//! Interfaces.

use std::io;

use crate::message::{Request, find, malformed, number};
use crate::socket::{CHANGE, LIST, Netlink};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFF_UP: u32 = 1;
/// Bytes of struct ifinfomsg.
const IFINFO: usize = 16;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; empty when it has none.
    pub mac: Vec<u8>,
    /// Bytes of the longest packet.
    pub mtu: u32,
    /// Turned on.
    pub up: bool,
}

impl Netlink {
    /// All interfaces of the namespace.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let request = Request::new(RTM_GETLINK, LIST, &[0; IFINFO]);
        self.list(request, |body| read(body).map(Some))
    }

    /// Renames an interface that is off.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn rename(&mut self, index: u32, name: &str) -> io::Result<()> {
        self.change(request(index, 0).text(IFLA_IFNAME, name))
    }

    /// Sets an interface's MTU.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        self.change(request(index, 0).number(IFLA_MTU, mtu))
    }

    /// Turns an interface on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn turn_on(&mut self, index: u32) -> io::Result<()> {
        self.change(request(index, IFF_UP))
    }
}

/// A change of an interface; `on` is IFF_UP or nothing.
fn request(index: u32, on: u32) -> Request {
    let mut structure = vec![0; 4]; // family, padding, type
    structure.extend(index.to_ne_bytes());
    structure.extend(on.to_ne_bytes());
    structure.extend(on.to_ne_bytes()); // which flags to change
    Request::new(RTM_NEWLINK, CHANGE, &structure)
}

fn read(body: &[u8]) -> io::Result<Link> {
    let attributes = body.get(IFINFO..).ok_or_else(malformed)?;
    let name = find(attributes, IFLA_IFNAME)?.unwrap_or_default();
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    let mtu = find(attributes, IFLA_MTU)?.map(|value| number(value, 0));
    Ok(Link {
        index: number(body, 4)?,
        name: String::from_utf8_lossy(name).into_owned(),
        mac: find(attributes, IFLA_ADDRESS)?.unwrap_or_default().to_vec(),
        mtu: mtu.transpose()?.unwrap_or_default(),
        up: number(body, 8)? & IFF_UP != 0,
    })
}
