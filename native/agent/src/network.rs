// SPDX-License-Identifier: Apache-2.0
//! The guest's interfaces: the loopback, and the pod's.

use std::fmt::Display;
use std::fs;
use std::io;
use std::str::FromStr;

use lightvm_netlink::{Link, Netlink, Prefix, Route};
use lightvm_protocol::agent::{self as wire, ConfigureNetwork};

use crate::error::{CallError, During};

/// Index of `lo` in every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// Bytes of an interface's name, without the zero behind it.
const MAX_NAME: usize = 15;

/// Turns `lo` on; the kernel then gives it its addresses.
pub fn loopback_up() -> io::Result<()> {
    Netlink::open()?.turn_on(LOOPBACK_INDEX)
}

/// What an interface is to be.
#[derive(Debug)]
struct Settings<'a> {
    name: &'a str,
    mtu: u32,
    addresses: Vec<Prefix>,
    routes: Vec<Route>,
}

/// Sets the interface with the request's hardware address up; false when the kernel has none yet.
pub fn configure(request: &ConfigureNetwork) -> Result<bool, CallError> {
    let settings = Settings::parse(request)?;
    let mut netlink = Netlink::open().during("open a netlink socket")?;
    let links = netlink.links().during("list the interfaces")?;
    match links.into_iter().find(|link| link.mac == request.mac) {
        Some(link) => set_up(&mut netlink, &link, &settings).map(|()| true),
        None => Ok(false),
    }
}

fn set_up(netlink: &mut Netlink, link: &Link, settings: &Settings<'_>) -> Result<(), CallError> {
    let Settings { name, mtu, .. } = settings;
    let index = link.index;
    if link.name != *name {
        let what = format!("rename {} to {name}", link.name);
        netlink.rename(index, name).during(what)?;
    }
    skip_duplicate_detection(name).during(format_args!("set IPv6 of {name} up"))?;
    let what = format!("set the MTU of {name} to {mtu}");
    netlink.set_mtu(index, *mtu).during(what)?;
    netlink
        .turn_on(index)
        .during(format_args!("turn {name} on"))?;
    for address in &settings.addresses {
        let what = format!("give {name} the address {address}");
        netlink.add_address(index, *address).during(what)?;
    }
    for route in &settings.routes {
        let what = format!("add the route to {} through {name}", route.destination);
        netlink.add_route(index, route).during(what)?;
    }
    Ok(())
}

/// The link-local address too is usable at once: whoever gave the pod its hardware address knows
/// that it is the only one. A kernel without IPv6 has no such setting.
fn skip_duplicate_detection(name: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl<'a> Settings<'a> {
    fn parse(request: &'a ConfigureNetwork) -> Result<Self, CallError> {
        let name = request.name.as_str();
        let odd = |byte: u8| byte == b'/' || byte.is_ascii_whitespace() || byte == 0;
        if name.is_empty() || name.len() > MAX_NAME || name == "." || name == ".." {
            return Err(CallError::invalid(format!("\"{name}\" names no interface")));
        }
        if name.bytes().any(odd) {
            return Err(CallError::invalid(format!("\"{name}\" names no interface")));
        }
        let addresses = request.addresses.iter().map(|text| parse(text));
        let routes = request.routes.iter().map(parse_route);
        Ok(Self {
            name,
            mtu: request.mtu,
            addresses: addresses.collect::<Result<_, _>>()?,
            routes: routes.collect::<Result<_, _>>()?,
        })
    }
}

fn parse_route(route: &wire::Route) -> Result<Route, CallError> {
    let optional = |text: &str| match text {
        "" => Ok(None),
        text => parse(text).map(Some),
    };
    Ok(Route {
        destination: parse(&route.destination)?,
        gateway: optional(&route.gateway)?,
        on_link: route.on_link,
        metric: route.metric,
        source: optional(&route.source)?,
    })
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, CallError> {
    let refuse = |error| CallError::invalid(format!("\"{text}\": {error}"));
    text.parse().map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ConfigureNetwork {
        ConfigureNetwork {
            mac: vec![2, 0, 0, 0, 0, 1],
            name: "eth0".into(),
            mtu: 1500,
            addresses: vec!["10.0.0.2/24".into(), "fd00::2/64".into()],
            routes: vec![
                wire::Route {
                    destination: "10.0.0.0/24".into(),
                    source: "10.0.0.2".into(),
                    ..wire::Route::default()
                },
                wire::Route {
                    destination: "0.0.0.0/0".into(),
                    gateway: "10.0.0.1".into(),
                    metric: 100,
                    ..wire::Route::default()
                },
            ],
        }
    }

    #[test]
    fn a_request_becomes_settings() {
        let request = request();
        let settings = Settings::parse(&request).unwrap();
        assert_eq!((settings.name, settings.mtu), ("eth0", 1500));
        assert_eq!(settings.addresses[1].to_string(), "fd00::2/64");
        assert_eq!(settings.routes[0].gateway, None);
        assert_eq!(
            settings.routes[1].gateway,
            Some("10.0.0.1".parse().unwrap())
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |change: fn(&mut ConfigureNetwork)| {
            let mut request = request();
            change(&mut request);
            Settings::parse(&request).is_err()
        };
        assert!(refused(|it| it.name = String::new()));
        assert!(refused(|it| it.name = "../all".into()));
        assert!(refused(|it| it.name = "a-name-of-16-byt".into()));
        assert!(refused(|it| it.addresses = vec!["10.0.0.2".into()]));
        assert!(refused(|it| it.routes[0].destination = "world".into()));
        assert!(refused(|it| it.routes[1].gateway = "10.0.0.256".into()));
    }

    #[test]
    fn an_interface_that_is_not_there_is_waited_for() {
        // No interface has a multicast address.
        let request = ConfigureNetwork {
            mac: vec![0xff; 6],
            ..request()
        };
        assert_eq!(configure(&request), Ok(false));
    }
}
