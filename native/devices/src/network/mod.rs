// SPDX-License-Identifier: Apache-2.0
//! virtio-net (virtio 1.2, 5.1) over a tap device of Linux.
//!
//! Queue 0 carries frames to the guest, queue 1 frames from it. Each frame has a header of 12 bytes
//! before it, on the queues and on the tap alike (IFF_VNET_HDR), in which the two ends leave work to
//! each other: a checksum that is still to be computed, a TCP segment of up to 64 KiB that is still
//! to be cut. Within one machine nobody ever does that work, which is where the throughput comes from.
//!
//! ```text
//!   tap ──read──> frame ──copied──> one or more receive buffers ──one ring a turn──> guest
//!   tap <─write── frame <──copied── one chain <──one ring a turn──────────────────── guest
//! ```
//!
//! Nothing is queued here but one frame each way, so a slow end holds up the other: a guest without
//! receive buffers leaves frames in the tap's queue, where the kernel drops what is too much.

mod device;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;
mod wire;

pub use device::{Network, NetworkOptions, TapInterest};
