// SPDX-License-Identifier: Apache-2.0
//! virtio-rng: random bytes from the host's kernel.

use std::any::Any;

use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// Random bytes from the host's kernel (`getrandom`).
#[derive(Default)]
pub struct Entropy;

impl Entropy {
    /// The device; it opens nothing.
    pub fn new() -> Self {
        Self
    }
}

impl Device for Entropy {
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
