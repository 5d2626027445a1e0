// SPDX-License-Identifier: Apache-2.0
//! Against the kernel, in a network namespace that ends with its thread. Needs root; without, nothing
//! is tried.

use std::io;
use std::net::IpAddr;
use std::thread;

use lightvm_netlink::{Netlink, Prefix, Route};
use nix::sched::{CloneFlags, unshare};

/// Runs `what` in a network namespace of its own, if one can be had.
fn in_namespace(what: impl FnOnce(&mut Netlink) + Send + 'static) {
    let run = move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => what(&mut Netlink::open().unwrap()),
        Err(error) => eprintln!("not tried: no namespace can be had: {error}"),
    };
    thread::spawn(run).join().unwrap();
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_namespace_begins_with_a_loopback_that_is_off() {
    in_namespace(|netlink| {
        let links = netlink.links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(!lo.up && lo.mtu >= 16436);
        netlink.turn_on(lo.index).unwrap();
        let links = netlink.links().unwrap();
        assert!(links.iter().any(|link| link.name == "lo" && link.up));
    });
}

#[test]
fn addresses_and_routes_are_read_as_they_were_written() {
    in_namespace(|netlink| {
        let lo = netlink.links().unwrap()[0].index;
        netlink.turn_on(lo).unwrap();
        netlink.set_mtu(lo, 9000).unwrap();
        assert_eq!(netlink.links().unwrap()[0].mtu, 9000);
        let mut addresses = vec![prefix("10.88.0.2/16")];
        if std::path::Path::new("/proc/net/if_inet6").exists() {
            addresses.push(prefix("fd00::2/64"));
        }
        for address in &addresses {
            netlink.add_address(lo, *address).unwrap();
        }
        assert_eq!(netlink.addresses(lo).unwrap(), addresses);
        assert_eq!(netlink.routes(lo).unwrap(), [], "addresses bring no routes");
        let routes = [
            Route {
                destination: prefix("10.88.0.0/16"),
                gateway: None,
                on_link: false,
                metric: 0,
                source: Some(address("10.88.0.2")),
            },
            Route {
                destination: prefix("0.0.0.0/0"),
                gateway: Some(address("10.88.0.1")),
                on_link: false,
                metric: 100,
                source: None,
            },
            Route {
                destination: prefix("192.0.2.0/24"),
                gateway: Some(address("169.254.1.1")),
                on_link: true,
                metric: 0,
                source: None,
            },
        ];
        for route in &routes {
            netlink.add_route(lo, route).unwrap();
        }
        let mut read = netlink.routes(lo).unwrap();
        assert!(read[0].gateway.is_none(), "those without a gateway first");
        read.sort_by_key(|route| route.destination.to_string());
        let mut expected = routes.to_vec();
        expected.sort_by_key(|route| route.destination.to_string());
        assert_eq!(read, expected);
    });
}

#[test]
fn the_kernel_says_what_it_refuses() {
    in_namespace(|netlink| {
        let nobody = netlink.turn_on(4711).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(nix::libc::ENODEV));
        let lo = netlink.links().unwrap()[0].index;
        netlink.turn_on(lo).unwrap();
        netlink.add_address(lo, prefix("10.0.0.1/8")).unwrap();
        let twice = netlink.add_address(lo, prefix("10.0.0.1/8")).unwrap_err();
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
    });
}
