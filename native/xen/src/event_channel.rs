// SPDX-License-Identifier: Apache-2.0
//! Event channels of this process, through `/dev/xen/evtchn`.
//!
//! A channel has two ends with a port number each. The driver masks a port when it reports it and
//! reports it again only after [`EventChannels::unmask`].
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

use crate::error::XenError;

const PATH: &str = "/dev/xen/evtchn";

/// include/uapi/xen/evtchn.h, struct ioctl_evtchn_bind_interdomain.
#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

/// include/uapi/xen/evtchn.h, struct ioctl_evtchn_notify.
#[repr(C)]
struct Notify {
    port: u32,
}

/// include/uapi/xen/evtchn.h, struct ioctl_evtchn_restrict_domid.
#[repr(C)]
struct RestrictDomid {
    domid: u16,
}

nix::ioctl_write_ptr_bad!(bind_interdomain, ioctl_code(1, 8), BindInterdomain);
nix::ioctl_write_ptr_bad!(notify, ioctl_code(4, 4), Notify);
nix::ioctl_write_ptr_bad!(restrict_domid, ioctl_code(6, 2), RestrictDomid);

/// `_IOC(_IOC_NONE, 'E', number, size)`.
const fn ioctl_code(number: u64, size: u64) -> u64 {
    (size << 16) | ((b'E' as u64) << 8) | number
}

/// Both ends of one event channel between a guest and this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// The port that the guest binds and rings.
    pub guest_port: u32,
    /// The port that this process rings and is told of.
    pub local_port: u32,
}

/// The event channels of a prepared domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorbells {
    /// Rung when the device page itself has changed.
    pub header: Doorbell,
    /// One for each device slot, in order.
    pub slots: Vec<Doorbell>,
    /// Xen's console ring.
    pub console: Doorbell,
}

/// An open `/dev/xen/evtchn`: the channels that are bound here, and nobody else's.
#[derive(Debug)]
pub struct EventChannels {
    file: File,
}

impl EventChannels {
    /// Opens the driver, without any channel. Reads never block.
    pub(crate) fn open() -> Result<Self, XenError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(PATH)
            .map_err(|source| XenError::Unavailable { path: PATH, source })?;
        Ok(Self { file })
    }

    /// Binds the near end of a channel whose far end is unbound in `domid`; returns the local port.
    pub(crate) fn bind(&self, domid: u16, remote_port: u32) -> Result<u32, XenError> {
        let argument = BindInterdomain {
            remote_domain: domid.into(),
            remote_port,
        };
        // SAFETY: the descriptor is open and the argument is the structure that this ioctl reads.
        let port = unsafe { bind_interdomain(self.file.as_raw_fd(), &argument) };
        let port = port.map_err(refused("IOCTL_EVTCHN_BIND_INTERDOMAIN"))?;
        Ok(port.unsigned_abs())
    }

    /// The ports that were rung since they were last unmasked; empty when there is none. Each is
    /// masked until [`Self::unmask`].
    pub fn pending(&self) -> Result<Vec<u32>, XenError> {
        let mut bytes = [0; 512];
        match (&self.file).read(&mut bytes) {
            Ok(length) => Ok(bytes[..length]
                .chunks_exact(4)
                .map(|port| u32::from_ne_bytes([port[0], port[1], port[2], port[3]]))
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(source) => Err(XenError::Refused {
                operation: "reading event channels",
                source,
            }),
        }
    }

    /// Lets a port that [`Self::pending`] has reported be reported again.
    pub fn unmask(&self, local_port: u32) -> Result<(), XenError> {
        (&self.file)
            .write_all(&local_port.to_ne_bytes())
            .map_err(|source| XenError::Refused {
                operation: "unmasking an event channel",
                source,
            })
    }

    /// Rings the guest.
    pub fn notify(&self, local_port: u32) -> Result<(), XenError> {
        let argument = Notify { port: local_port };
        // SAFETY: the descriptor is open and the argument is the structure that this ioctl reads.
        unsafe { notify(self.file.as_raw_fd(), &argument) }
            .map(drop)
            .map_err(refused("IOCTL_EVTCHN_NOTIFY"))
    }

    /// From here on only channels to `domid` can be bound.
    pub(crate) fn restrict(&self, domid: u16) -> Result<(), XenError> {
        let argument = RestrictDomid { domid };
        // SAFETY: the descriptor is open and the argument is the structure that this ioctl reads.
        unsafe { restrict_domid(self.file.as_raw_fd(), &argument) }
            .map(drop)
            .map_err(refused("IOCTL_EVTCHN_RESTRICT_DOMID"))
    }
}

impl AsFd for EventChannels {
    /// Readable when a port is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn refused(operation: &'static str) -> impl Fn(nix::Error) -> XenError {
    move |error| XenError::Refused {
        operation,
        source: error.into(),
    }
}
