// SPDX-License-Identifier: Apache-2.0
//! What `src/network/native-namespaces.ts` asks of Linux.

use std::os::fd::IntoRawFd;
use std::path::PathBuf;

use lightvm_netlink::{Netlink, Route};
use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi_derive::napi;

use crate::namespace;
use crate::tap::{join, read_interface};
use crate::task::{Work, failure, promise};

/// A route of the main table.
#[napi(object)]
pub struct TapRoute {
    /// ADDRESS/PREFIX LENGTH.
    pub destination: String,
    /// "" when the destination is on the link.
    pub gateway: String,
    /// The gateway is on the link, whatever its address says.
    pub on_link: bool,
    /// 0 = the kernel's default.
    pub metric: u32,
    /// Preferred source address; "" = the kernel chooses.
    pub source: String,
}

/// A tap and the interface that it is joined with.
#[napi(object)]
pub struct TapInfo {
    /// The tap's descriptor; the caller must close it.
    pub fd: i32,
    /// The interface's hardware address.
    pub mac: Buffer,
    /// The interface's MTU.
    pub mtu: u32,
    /// The interface's addresses, ADDRESS/PREFIX LENGTH.
    pub addresses: Vec<String>,
    /// The interface's routes, in the order in which they can be added.
    pub routes: Vec<TapRoute>,
}

/// Makes a network namespace, which lives until the descriptor is closed or something else keeps it
/// no longer. The caller must close it.
#[napi(ts_return_type = "Promise<number>")]
pub fn open_network_namespace() -> AsyncTask<Work<i32>> {
    promise(|| {
        namespace::open()
            .map(IntoRawFd::into_raw_fd)
            .map_err(failure)
    })
}

/// Keeps the network namespace of a descriptor, which stays the caller's, at `path`.
#[napi(ts_return_type = "Promise<void>")]
pub fn keep_network_namespace(descriptor: i32, path: String) -> AsyncTask<Work<()>> {
    let path = PathBuf::from(path);
    promise(move || namespace::keep(descriptor, &path).map_err(failure))
}

/// Lets go of a network namespace; one that is not there is no error.
#[napi(ts_return_type = "Promise<void>")]
pub fn delete_network_namespace(path: String) -> AsyncTask<Work<()>> {
    let path = PathBuf::from(path);
    promise(move || namespace::delete(&path).map_err(failure))
}

/// Makes a tap in the namespace at `path`, joins it with the interface of this name, and says how
/// that one is set up.
#[napi(ts_return_type = "Promise<TapInfo>")]
pub fn open_tap(path: String, interface: String, offloads: bool) -> AsyncTask<Work<TapInfo>> {
    let path = PathBuf::from(path);
    promise(move || {
        let opened = namespace::within(&path, || {
            let mut netlink = Netlink::open()?;
            let found = read_interface(&mut netlink, &interface)?;
            let tap = join(&mut netlink, &found.link, offloads)?;
            Ok((found, tap))
        });
        let (found, tap) = opened.map_err(failure)?;
        Ok(TapInfo {
            mac: found.link.mac.into(),
            mtu: found.link.mtu,
            addresses: found.addresses.iter().map(ToString::to_string).collect(),
            routes: found.routes.into_iter().map(tap_route).collect(),
            fd: tap.into_raw_fd(),
        })
    })
}

fn tap_route(route: Route) -> TapRoute {
    let text = |address: Option<std::net::IpAddr>| {
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    TapRoute {
        destination: route.destination.to_string(),
        gateway: text(route.gateway),
        on_link: route.on_link,
        metric: route.metric,
        source: text(route.source),
    }
}
