// SPDX-License-Identifier: Apache-2.0
//! The device face of sysctl.

use std::any::Any;

use lightvm_abi::{SYSCTL_NONE, TYPE_SYSCTL};

use super::wire::{GuestState, HostRequest};
use crate::{Device, DeviceError, DeviceEvent, FrontConfig, Progress, Queues};

/// The sysctl device.
pub struct Sysctl {
    sequence: u32,
    word: u32,
    /// Sequence number of the last word that the guest said.
    heard: u32,
}

impl Default for Sysctl {
    fn default() -> Self {
        Self::new()
    }
}

impl Sysctl {
    /// The device, before anyone said anything.
    pub fn new() -> Self {
        Self {
            sequence: 0,
            word: SYSCTL_NONE,
            heard: 0,
        }
    }

    /// Asks the guest; a later request replaces one that the guest has not read yet.
    pub fn ask(&mut self, request: HostRequest) {
        self.sequence = self.sequence.wrapping_add(1);
        self.word = request.word();
    }
}

impl Device for Sysctl {
    fn kind(&self) -> u32 {
        TYPE_SYSCTL
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[]
    }

    fn config(&self) -> Vec<u8> {
        let mut bytes = self.sequence.to_le_bytes().to_vec();
        bytes.extend(self.word.to_le_bytes());
        bytes
    }

    fn front_config(
        &mut self,
        config: &FrontConfig<'_>,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<(), DeviceError> {
        let (sequence, word) = config.sysctl();
        if sequence == self.heard {
            return Ok(());
        }
        self.heard = sequence;
        let state = GuestState::from_word(word)
            .ok_or(DeviceError::Request("sysctl has no such word for a guest"))?;
        events.push(DeviceEvent::Sysctl(state));
        Ok(())
    }

    /// Words outlive the driver: a request to power off is not undone by a reset.
    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}

    fn process(
        &mut self,
        _queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        Ok(Progress::Idle)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
