// SPDX-License-Identifier: Apache-2.0
//! virtio-rng (virtio 1.2, 5.4): one queue of buffers to fill with random bytes from the host's
//! kernel. There is nothing to parse: a request is a writable buffer.

mod device;
#[cfg(test)]
mod tests;

pub use device::Entropy;
