// SPDX-License-Identifier: Apache-2.0
//! Namespaces and taps of the kernel at hand. Needs root and tap devices; without, nothing is tried.

#![allow(unsafe_code)]

#[path = "../src/namespace.rs"]
mod namespace;
#[path = "../src/tap.rs"]
mod tap;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lightvm_netlink::Netlink;

/// A namespace that is removed again.
struct Namespace(PathBuf);

impl Namespace {
    fn new(name: &str) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("lightvm-{}-{name}", std::process::id()));
        let open = match namespace::open() {
            Ok(open) => open,
            Err(error) => {
                eprintln!("not tried: no namespace can be had: {error}");
                return None;
            }
        };
        namespace::keep(open.as_raw_fd(), &path).unwrap();
        Some(Self(path))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        namespace::delete(&self.0).unwrap();
    }
}

fn inode(path: impl AsRef<Path>) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[test]
fn a_namespace_is_kept_and_let_go() {
    let own = inode("/proc/thread-self/ns/net");
    let Some(made) = Namespace::new("kept") else {
        return;
    };
    assert_ne!(inode(&made.0), own);
    let inside = namespace::within(&made.0, || Ok(inode("/proc/thread-self/ns/net"))).unwrap();
    assert_eq!(inside, inode(&made.0));
    assert_eq!(
        inode("/proc/thread-self/ns/net"),
        own,
        "we stay where we are"
    );
    let lo = namespace::within(&made.0, || Netlink::open()?.links()).unwrap();
    assert_eq!((lo[0].name.as_str(), lo[0].up), ("lo", true));
    let other = namespace::open().unwrap();
    let twice = namespace::keep(other.as_raw_fd(), &made.0);
    assert!(twice.is_err(), "it is there already");
    assert!(namespace::keep(-1, &made.0.with_extension("none")).is_err());
    assert!(!made.0.with_extension("none").exists());
    namespace::delete(&made.0).unwrap();
    assert!(!made.0.exists());
    namespace::delete(&made.0).unwrap();
}

#[test]
fn what_is_made_in_part_is_let_go_too() {
    let path = std::env::temp_dir().join(format!("lightvm-{}-part", std::process::id()));
    File::create(&path).unwrap();
    namespace::delete(&path).unwrap();
    assert!(!path.exists());
}

/// A tap without a header before its frames: it stands for what a plugin has made.
fn plugins_interface(name: &str) -> io::Result<File> {
    nix::ioctl_write_ptr_bad!(set_interface, 0x4004_54ca, [u8; 40]);
    const IFF_TAP_NO_PI: u16 = 0x1002;
    let mut options = File::options();
    let file = options.read(true).write(true).open("/dev/net/tun")?;
    let mut request = [0; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&IFF_TAP_NO_PI.to_ne_bytes());
    // SAFETY: `request` is a struct ifreq: 16 bytes of name, then flags; the kernel reads and writes
    // these 40 bytes and nothing else.
    unsafe { set_interface(file.as_raw_fd(), &raw const request) }?;
    Ok(file)
}

#[test]
fn a_tap_carries_what_an_interface_has() {
    let Some(made) = Namespace::new("tap") else {
        return;
    };
    let joined = namespace::within(&made.0, || {
        let far = plugins_interface("eth0")?;
        let mut netlink = Netlink::open()?;
        let eth0 = netlink.links()?.into_iter().find(|it| it.name == "eth0");
        let index = eth0.unwrap().index;
        netlink.set_mtu(index, 1400)?;
        netlink.turn_on(index)?;
        netlink.add_address(index, "10.0.0.2/24".parse().unwrap())?;
        let read = tap::read_interface(&mut netlink, "eth0")?;
        let near = tap::join(&mut netlink, &read.link, true)?;
        Ok((far, near, read, netlink.links()?))
    });
    let (mut far, mut near, read, links) = match joined {
        Ok(joined) => joined,
        Err(error) => return eprintln!("not tried: no tap can be joined: {error}"),
    };
    assert_eq!((read.link.mac.len(), read.link.mtu), (6, 1400));
    assert_eq!(read.addresses, ["10.0.0.2/24".parse().unwrap()]);
    assert_eq!(read.routes, []);
    let tap0 = links.iter().find(|link| link.name == "tap0").unwrap();
    assert_eq!((tap0.mtu, tap0.up), (1400, true));

    // A request for the address that the interface has: the guest must see it, nobody else answers.
    let mut question = [0xff; 60];
    question[12..14].copy_from_slice(&[0x08, 0x06]);
    far.write_all(&question).unwrap();
    let arrived = next(&mut near, |frame| frame.get(12..) == Some(&question[..]));
    assert_eq!(arrived.len(), 72);

    let mut answer = [0; 72];
    answer[12..].copy_from_slice(&question);
    near.write_all(&answer).unwrap();
    let left = next(&mut far, |frame| *frame == question);
    assert_eq!(left, question);
}

/// The next frame that is wanted; the kernel itself says something on a new interface as well.
fn next(tap: &mut File, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut frame = [0; 2000];
    loop {
        match tap.read(&mut frame) {
            Ok(length) if wanted(&frame[..length]) => return frame[..length].to_vec(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}
