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
    /// Where its memory ends: as we know it, and as the guest said last.
    memory_end: u64,
    heard_memory_end: u64,
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
            memory_end: 0,
            heard_memory_end: 0,
        }
    }

    /// Tells the guest that it may use its memory up to this address.
    pub fn admit_memory(&mut self, end: u64) {
        self.memory_end = end;
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
        bytes.extend(self.memory_end.to_le_bytes());
        bytes
    }

    fn front_config(
        &mut self,
        config: &FrontConfig<'_>,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<(), DeviceError> {
        let memory_end = config.memory_end();
        if memory_end != self.heard_memory_end {
            self.heard_memory_end = memory_end;
            events.push(DeviceEvent::MemoryEnd(memory_end));
        }
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
