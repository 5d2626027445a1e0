// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-rng.

use std::any::Any;

use lightvm_abi::TYPE_RNG;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Chain, Device, DeviceError, DeviceEvent, Progress, Queues};

/// Bytes that one request gets at most; a driver that wants more asks again.
const MAX_BYTES: usize = 4096;
/// Requests of one turn.
const BUDGET: usize = 64;

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
        TYPE_RNG
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[16]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}

    fn process(
        &mut self,
        queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        queues.serve(0, BUDGET, fill)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

fn fill(chain: &Chain) -> Result<u32, DeviceError> {
    if chain.readable_length() != 0 || chain.writable_length() == 0 {
        return Err(DeviceError::Request("an entropy buffer must be writable"));
    }
    let mut bytes = [0; MAX_BYTES];
    let length = chain.writable_length().min(MAX_BYTES as u32);
    let bytes = &mut bytes[..length as usize];
    // The system call itself, not libc's by name: a static program that looks up a name opens the
    // dynamic linker's files, and the VMM may open nothing.
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(DeviceError::Host(error.to_string())),
        }
    }
    chain.write(0, bytes)?;
    Ok(length)
}
