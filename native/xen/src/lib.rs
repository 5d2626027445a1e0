// SPDX-License-Identifier: Apache-2.0
//! Everything that this project asks of Xen, and the only place that makes hypercalls.
//!
//! A pod VM is made in two halves. [`PreparedDomain::prepare`] does all that needs privilege: the
//! domain, its memory and the map of it, event channels, the vCPU's first registers.
//! [`PreparedDomain::restrict`] then gives the rights away, and [`PreparedDomain::load`] and
//! [`PreparedDomain::write_boot_data`] only write guest memory.
//!
//! No Xen library is linked: hypercalls are ioctls on `/dev/xen/privcmd`, and the version of the
//! unstable interfaces is probed, so one static binary serves Xen 4.17 and 4.20.

mod builder;
mod domctl;
mod error;
mod event_channel;
mod fault;
mod fields;
mod foreign;
mod hypercall;
mod hypervisor;
mod memory;
mod sysctl;

#[cfg(feature = "test-support")]
pub use builder::elf::check_kernel;
pub use builder::load::{LoadError, LoadedKernel};
pub use builder::prepare::{BuildError, PrepareOptions, PreparedDomain};
pub use builder::steps::Step;
pub use domctl::CpuShare;
pub use error::XenError;
pub use event_channel::{BIND_INTERDOMAIN, Doorbell, Doorbells, EventChannels, SlotDoorbell};
pub use foreign::MMAP_BATCH;
pub use hypervisor::{DomainInfo, HostInfo, Hypervisor};
