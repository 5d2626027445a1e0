// SPDX-License-Identifier: Apache-2.0
//! Tap devices as the VMM wants them (virtio-net's frames), and their way to the network.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use lightvm_netlink::{Link, Netlink, Prefix, Route};

/// The tap's name in its pod's namespace.
const TAP: &str = "tap0";

/// <linux/if_tun.h>.
mod tun {
    nix::ioctl_write_ptr_bad!(set_interface, 0x4004_54ca, [u8; 40]);
    nix::ioctl_write_int_bad!(set_offload, 0x4004_54d0);
    nix::ioctl_write_ptr_bad!(set_header_size, 0x4004_54d8, i32);

    /// IFF_TAP | IFF_NO_PI | IFF_VNET_HDR.
    pub(super) const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
    /// TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN.
    pub(super) const OFFLOADS: i32 = 1 | 2 | 4 | 8;
    /// struct virtio_net_hdr_v1.
    pub(super) const HEADER_BYTES: i32 = 12;
    /// Where struct ifreq has its flags, behind the name.
    pub(super) const FLAGS_OFFSET: usize = 16;
}

/// An interface as a plugin has set it up.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) link: Link,
    pub(crate) addresses: Vec<Prefix>,
    pub(crate) routes: Vec<Route>,
}

/// Reads the interface with this name in the calling thread's namespace.
pub(crate) fn read_interface(netlink: &mut Netlink, name: &str) -> io::Result<Interface> {
    let link = find(netlink, name)?;
    Ok(Interface {
        addresses: netlink.addresses(link.index)?,
        routes: netlink.routes(link.index)?,
        link,
    })
}

/// Makes a tap in the calling thread's namespace and joins it with `interface`: what arrives at one
/// leaves through the other, and the namespace's own stack sees nothing of it, so that the addresses
/// which the interface keeps are answered for by the guest alone.
///
/// The tap ends when the last copy of its descriptor is closed.
pub(crate) fn join(netlink: &mut Netlink, interface: &Link, offloads: bool) -> io::Result<File> {
    let file = open(offloads)?;
    let tap = find(netlink, TAP)?.index;
    // It would tell the guest about addresses of its own. Without IPv6 there is nothing to turn off.
    match fs::write(format!("/proc/sys/net/ipv6/conf/{TAP}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    netlink.set_mtu(tap, interface.mtu)?;
    netlink.redirect(tap, interface.index)?;
    netlink.redirect(interface.index, tap)?;
    netlink.turn_on(tap)?;
    Ok(file)
}

fn find(netlink: &mut Netlink, name: &str) -> io::Result<Link> {
    let links = netlink.links()?.into_iter();
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}"));
    links
        .into_iter()
        .find(|link| link.name == name)
        .ok_or_else(missing)
}

fn open(offloads: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let fd = file.as_raw_fd();
    let mut request = [0; 40];
    request[..TAP.len()].copy_from_slice(TAP.as_bytes());
    request[tun::FLAGS_OFFSET..tun::FLAGS_OFFSET + 2].copy_from_slice(&tun::FLAGS.to_ne_bytes());
    // SAFETY: `fd` is open, and `request` is a struct ifreq: the kernel reads and writes its 40
    // bytes, which live until the call returns, and nothing else.
    unsafe { tun::set_interface(fd, &raw const request) }?;
    let header_bytes = tun::HEADER_BYTES;
    // SAFETY: `fd` is open, and the kernel reads one int, which lives until the call returns.
    unsafe { tun::set_header_size(fd, &raw const header_bytes) }?;
    let offloads = if offloads { tun::OFFLOADS } else { 0 };
    // SAFETY: `fd` is open, and the argument is a number.
    unsafe { tun::set_offload(fd, offloads) }?;
    Ok(file)
}
