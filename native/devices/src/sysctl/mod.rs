// SPDX-License-Identifier: Apache-2.0
//! The sysctl device: power off, reboot, memory, and what the guest says of itself.
//!
//! It has no virtqueues. Each direction is one word of state with a sequence number: the VMM's in
//! the back half's configuration, the guest's in the front half's. A word that comes before the
//! last one was read replaces it. Beside the word, each side says where the guest's memory ends as
//! far as it knows: the guest when it has got more, the VMM when it can reach that.

mod device;
#[cfg(test)]
mod tests;
mod wire;

pub use device::Sysctl;
pub use wire::{GuestState, HostRequest};
