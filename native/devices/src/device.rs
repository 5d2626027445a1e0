// SPDX-License-Identifier: Apache-2.0
//! What the bus asks of a device.

use std::any::Any;
use std::fmt;

use crate::{FrontConfig, GuestState, Queues, TapInterest, VsockEvent};

/// The id of a device's entry in the device page: unique in a guest's life, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a device stopped: the guest wrote something that it must not write, or the host failed.
/// The device answers nothing until the guest resets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// A field of the control page's front half holds a value that it must not have.
    ControlPage(&'static str),
    /// A virtqueue or one of its descriptor chains is malformed.
    Queue(&'static str),
    /// A request inside a chain is malformed.
    Request(&'static str),
    /// The host could not do its part (random numbers, for example).
    Host(String),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlPage(what) => write!(formatter, "bad control page: {what}"),
            Self::Queue(what) => write!(formatter, "bad virtqueue: {what}"),
            Self::Request(what) => write!(formatter, "bad request: {what}"),
            Self::Host(what) => write!(formatter, "the host failed: {what}"),
        }
    }
}

impl std::error::Error for DeviceError {}

/// What a device tells the VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// The guest said how it is, through the sysctl device.
    Sysctl(GuestState),
    /// The guest says, through the sysctl device, that it has got memory up to this address.
    MemoryEnd(u64),
    /// Something happened to a vsock connection.
    Vsock(VsockEvent),
    /// A network device waits for something else at its tap than it said last.
    Tap(TapInterest),
    /// The server behind a file system has ended or breaks the protocol, for this reason: the
    /// device answers nothing any more.
    FileServerLost(String),
}

/// How far [`Device::process`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to do until someone rings.
    Idle,
    /// The budget of one call is used up; there may be more to do right now.
    More,
}

/// One device behind the bus. All calls come from the one thread that owns the bus.
pub trait Device: Any {
    /// `NOXS_TYPE_*` or a virtio device id.
    fn kind(&self) -> u32;

    /// Feature bits of this device type on offer; the bus adds those of the transport.
    fn features(&self) -> u64 {
        0
    }

    /// Whether the device can work with the features that the driver has agreed to, all of them on
    /// offer; false makes the driver give up. Called before the queues exist.
    fn accept(&mut self, _agreed: u64) -> bool {
        true
    }

    /// The largest size of each queue; a power of two each.
    fn queue_sizes(&self) -> &'static [u16];

    /// The start of the device's configuration space; the bus fills up with zeros. It is read
    /// again after every call, and the guest is told when it has changed.
    fn config(&self) -> Vec<u8>;

    /// Takes what the driver wrote into its configuration area; called on every doorbell.
    fn front_config(
        &mut self,
        _config: &FrontConfig<'_>,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Back to the state before the driver was there; anything that it had begun is dropped.
    fn reset(&mut self, events: &mut Vec<DeviceEvent>);

    /// Does what there is to do on the queues, within a budget of its own.
    fn process(
        &mut self,
        queues: &mut Queues,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError>;

    /// The device as its own type, for [`crate::Bus::with_device`].
    fn as_any_mut(&mut self) -> &mut dyn Any;
}
