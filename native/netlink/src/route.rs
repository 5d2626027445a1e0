// SPDX-License-Identifier: Apache-2.0
//! Unicast routes of the main table.

use std::io;
use std::net::IpAddr;

use crate::message::{CREATE, EXCLUSIVE, Request, byte, find, malformed, number};
use crate::prefix::{Prefix, from_octets, octets};
use crate::socket::{CHANGE, LIST, Netlink};

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;
/// A route that the kernel has derived from another.
const RTM_F_CLONED: u32 = 0x200;
/// Bytes of struct rtmsg.
const RTMSG: usize = 12;

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub destination: Prefix,
    /// Over whom; nobody when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The gateway is on the link, whatever its address says.
    pub on_link: bool,
    /// The lower, the better; 0 leaves it to the kernel.
    pub metric: u32,
    /// The address that packets have unless their sender chooses another.
    pub source: Option<IpAddr>,
}

impl Netlink {
    /// The routes through an interface, those without a gateway first: the others need them. What
    /// the kernel makes for IPv6 link-local addresses is left out.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn routes(&mut self, index: u32) -> io::Result<Vec<Route>> {
        let request = Request::new(RTM_GETROUTE, LIST, &[0; RTMSG]);
        let mut routes = self.list(request, |body| read(body, index))?;
        routes.sort_by_key(|route| route.gateway.is_some());
        Ok(routes)
    }

    /// Adds a route through an interface.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn add_route(&mut self, index: u32, route: &Route) -> io::Result<()> {
        let scope = match route.gateway {
            Some(_) => RT_SCOPE_UNIVERSE,
            None => RT_SCOPE_LINK,
        };
        let destination = route.destination;
        let mut structure = vec![destination.family(), destination.length(), 0, 0];
        structure.extend([RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST]);
        let flags = if route.on_link { RTNH_F_ONLINK } else { 0 };
        structure.extend(flags.to_ne_bytes());
        let mut request = Request::new(RTM_NEWROUTE, CHANGE | CREATE | EXCLUSIVE, &structure)
            .number(RTA_OIF, index);
        if destination.length() > 0 {
            request = request.attribute(RTA_DST, &octets(destination.address()));
        }
        if let Some(gateway) = route.gateway {
            request = request.attribute(RTA_GATEWAY, &octets(gateway));
        }
        if route.metric > 0 {
            request = request.number(RTA_PRIORITY, route.metric);
        }
        if let Some(source) = route.source {
            request = request.attribute(RTA_PREFSRC, &octets(source));
        }
        self.change(request)
    }
}

fn read(body: &[u8], index: u32) -> io::Result<Option<Route>> {
    let attributes = body.get(RTMSG..).ok_or_else(malformed)?;
    let through = find(attributes, RTA_OIF)?.map(|value| number(value, 0));
    let flags = number(body, 8)?;
    let wanted = through.transpose()? == Some(index)
        && byte(body, 4)? == RT_TABLE_MAIN
        && byte(body, 7)? == RTN_UNICAST
        && flags & RTM_F_CLONED == 0;
    if !wanted {
        return Ok(None);
    }
    let address = |kind| {
        let value = find(attributes, kind)?;
        value
            .map(|bytes| from_octets(bytes).ok_or_else(malformed))
            .transpose()
    };
    let length = byte(body, 1)?;
    let destination = match address(RTA_DST)? {
        Some(destination) => Prefix::new(destination, length),
        None => Prefix::everything(byte(body, 0)?),
    };
    let metric = find(attributes, RTA_PRIORITY)?.map(|value| number(value, 0));
    let route = Route {
        destination: destination.ok_or_else(malformed)?,
        gateway: address(RTA_GATEWAY)?,
        on_link: flags & RTNH_F_ONLINK != 0,
        metric: metric.transpose()?.unwrap_or_default(),
        source: address(RTA_PREFSRC)?,
    };
    Ok(Some(route).filter(|route| !is_link_local(route.destination.address())))
}

/// fe80::/10.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfe80)
}
