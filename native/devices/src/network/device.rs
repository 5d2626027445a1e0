// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-net.

use std::any::Any;
use std::fs::File;
use std::io;
use std::rc::Rc;

use lightvm_abi::TYPE_NET;

use super::receive::Receive;
use super::transmit::Transmit;
use super::wire::{FEATURE_MERGE, NEEDED_WITH_OFFLOADS, config, features};
use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// To the guest.
pub(super) const RX: usize = 0;
/// From the guest.
pub(super) const TX: usize = 1;

/// How a network device is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The guest's hardware address.
    pub mac: [u8; 6],
    /// Bytes of the longest packet, without the Ethernet header.
    pub mtu: u16,
    /// What the tap has been set to (TUNSETOFFLOAD): checksums and TCP segmentation are left to the
    /// guest, which must be able to do both, and taken from it. False: neither.
    pub offloads: bool,
}

/// What a device waits for at its tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapInterest {
    /// A frame to read.
    pub read: bool,
    /// Room for a frame that it refused.
    pub write: bool,
}

/// Why the tap did not take or give a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TapError {
    /// It can't now, and says when it can.
    Later,
    /// It will not, and the frame is lost; frames may be.
    Lost,
}

/// The host's end: a tap with IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, headers of 12 bytes, O_NONBLOCK.
pub(super) struct Tap {
    file: Rc<File>,
    /// Its interface still exists.
    up: bool,
}

impl Tap {
    /// Reads or writes one frame.
    pub(super) fn attempt(
        &mut self,
        act: impl FnOnce(&File) -> io::Result<usize>,
    ) -> Result<usize, TapError> {
        if !self.up {
            return Err(TapError::Lost);
        }
        act(&self.file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => TapError::Later,
            // EIO while the interface is down, EINVAL for a header that the kernel does not like.
            _ => TapError::Lost,
        })
    }
}

/// The network device.
pub struct Network {
    tap: Tap,
    options: NetworkOptions,
    receive: Receive,
    transmit: Transmit,
    /// The driver takes frames that are spread over several buffers.
    merge: bool,
    /// What the VMM was told last.
    told: TapInterest,
}

impl Network {
    /// A device on a tap that is set up as `options` say.
    pub fn new(tap: Rc<File>, options: NetworkOptions) -> Self {
        Self {
            tap: Tap {
                file: tap,
                up: true,
            },
            options,
            receive: Receive::new(),
            transmit: Transmit::new(),
            merge: false,
            told: TapInterest::default(),
        }
    }

    /// The tap's interface is gone for good: the guest sees its link go down.
    pub fn disconnect(&mut self) {
        self.tap.up = false;
    }

    fn tell(&mut self, interest: TapInterest, events: &mut Vec<DeviceEvent>) {
        if self.told != interest {
            self.told = interest;
            events.push(DeviceEvent::Tap(interest));
        }
    }
}

impl Device for Network {
    fn kind(&self) -> u32 {
        TYPE_NET
    }

    fn features(&self) -> u64 {
        features(self.options.offloads)
    }

    fn accept(&mut self, agreed: u64) -> bool {
        self.merge = agreed & FEATURE_MERGE != 0;
        !self.options.offloads || agreed & NEEDED_WITH_OFFLOADS == NEEDED_WITH_OFFLOADS
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[256, 256]
    }

    fn config(&self) -> Vec<u8> {
        config(self.options.mac, self.tap.up, self.options.mtu)
    }

    fn reset(&mut self, events: &mut Vec<DeviceEvent>) {
        self.receive.reset();
        self.transmit.reset();
        self.tell(TapInterest::default(), events);
    }

    fn process(
        &mut self,
        queues: &mut Queues,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        let Self {
            tap,
            options: NetworkOptions { offloads, .. },
            receive,
            transmit,
            merge,
            ..
        } = self;
        let sent = transmit.send(queues, tap, *offloads)?;
        let delivered = receive.deliver(queues, tap, *merge, *offloads)?;
        let interest = TapInterest {
            read: tap.up && !receive.waits(),
            write: tap.up && transmit.waits(),
        };
        self.tell(interest, events);
        Ok(if sent == Progress::More || delivered == Progress::More {
            Progress::More
        } else {
            Progress::Idle
        })
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
