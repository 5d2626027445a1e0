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
use std::sync::OnceLock;

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

/// `IOCTL_EVTCHN_BIND_INTERDOMAIN`, for those who must name it in a filter of system calls.
pub const BIND_INTERDOMAIN: u64 = ioctl_code(1, 8);

nix::ioctl_write_ptr_bad!(bind_interdomain, BIND_INTERDOMAIN, BindInterdomain);
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

/// The event channel of a device slot. Its near end is bound when the slot shows its first device: for
/// each end that it binds, Xen looks for a free port from dom0's first one on, so that one that nobody
/// needs makes all later ones of all domains slower.
#[derive(Debug)]
pub struct SlotDoorbell {
    /// The port that the guest binds and rings.
    pub guest_port: u32,
    local_port: OnceLock<u32>,
}

impl SlotDoorbell {
    pub(crate) fn new(guest_port: u32) -> Self {
        Self {
            guest_port,
            local_port: OnceLock::new(),
        }
    }

    /// The port that this process rings and is told of; `None` before the first device.
    pub fn local_port(&self) -> Option<u32> {
        self.local_port.get().copied()
    }

    pub(crate) fn connect(&self, channels: &EventChannels, domid: u16) -> Result<(), XenError> {
        if self.local_port.get().is_none() {
            let port = channels.bind(domid, self.guest_port)?;
            self.local_port.get_or_init(|| port);
        }
        Ok(())
    }
}

/// The event channels of a prepared domain.
#[derive(Debug)]
pub struct Doorbells {
    /// Rung when the device page itself has changed.
    pub header: Doorbell,
    /// One for each device slot, in order.
    pub slots: Vec<SlotDoorbell>,
    /// Xen's console ring.
    pub console: Doorbell,
}

impl Doorbells {
    /// The slot whose channel has this near end.
    pub fn slot_of(&self, local_port: u32) -> Option<usize> {
        let is_it = |slot: &SlotDoorbell| slot.local_port() == Some(local_port);
        self.slots.iter().position(is_it)
    }
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
