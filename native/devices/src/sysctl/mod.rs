// SPDX-License-Identifier: Apache-2.0
//! The sysctl device: power off, reboot, and what the guest says of itself.

use std::any::Any;

use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// What the VMM asks of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Shut down in good order.
    Poweroff,
    /// Restart in good order.
    Reboot,
    /// Stop and keep everything.
    Suspend,
}

/// What the guest says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestState {
    /// First sign of life.
    Alive,
    /// About to power off.
    Exiting,
    /// About to reboot.
    Restarting,
    /// Its kernel panicked.
    Panicked,
}

/// The sysctl device.
#[derive(Default)]
pub struct Sysctl;

impl Sysctl {
    /// The device, before anyone said anything.
    pub fn new() -> Self {
        Self
    }

    /// Asks the guest; a later request replaces one that the guest has not read yet.
    pub fn ask(&mut self, _request: HostRequest) {
        todo!()
    }
}

impl Device for Sysctl {
    fn kind(&self) -> u32 {
        todo!()
    }
    fn queue_sizes(&self) -> &'static [u16] {
        todo!()
    }
    fn config(&self) -> Vec<u8> {
        todo!()
    }
    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}
    fn process(
        &mut self,
        _queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        todo!()
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
