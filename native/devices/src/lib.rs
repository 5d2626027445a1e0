// SPDX-License-Identifier: Apache-2.0
//! The noxs back end and the devices behind it.
//!
//! Nothing here knows Xen: guest memory is any [`vm_memory::GuestMemoryMmap`], a doorbell to the
//! guest is a call to [`Notifier`]. What the guest writes is read once, checked once and turned
//! into a type that can't hold nonsense; a value that fails the check stops that one device.

mod block;
mod bus;
mod console;
mod device;
mod entropy;
mod filesystem;
mod network;
mod page;
mod queue;
mod sysctl;
mod vsock;

#[cfg(any(test, feature = "test-support"))]
pub mod test_support;

pub use block::{Access, Block, BlockError};
pub use bus::{Bell, Bus, BusError, BusOptions, Event, FrontConfig, Notifier};
pub use console::{ConsoleError, ConsoleRing, Drained};
pub use device::{Device, DeviceError, DeviceEvent, DeviceId, Progress};
pub use entropy::Entropy;
pub use filesystem::{Channel, Filesystem, FilesystemError};
pub use network::{Network, NetworkOptions, TapInterest};
pub use queue::{Chain, Queues};
pub use sysctl::{GuestState, HostRequest, Sysctl};
pub use vsock::{ConnectionId, SendError, Vsock, VsockEvent, VsockOptions};
