// SPDX-License-Identifier: Apache-2.0
//! The kernel's news about devices.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// Multicast group of the kernel itself; group 2 is udev's.
const KERNEL_GROUP: u32 = 1;

/// Says that devices have changed. What changed is read from sysfs, which is never out of date.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Starts to listen.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// Takes all news; true when there were any.
    pub fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        let mut buffer = [0; 4096];
        loop {
            match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                // ENOBUFS: news were lost, which is news.
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(any),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the next news, at most until `deadline`; false when that has come.
    pub fn wait(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut watched, Some(&timespec(left))) {
                Ok(0) => return Ok(false),
                Ok(_) => return self.drain(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A duration as system calls take it.
pub fn timespec(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec {
        tv_sec: seconds,
        tv_nsec: duration.subsec_nanos().into(),
    }
}
