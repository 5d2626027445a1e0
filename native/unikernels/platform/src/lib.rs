// SPDX-License-Identifier: Apache-2.0
//! What a unikernel stands on: Xen and one x86-64 vCPU, made safe to use. The only unsafe code of a
//! unikernel.
//!
//! There are no interrupts and no tasks. A unikernel asks Xen to wake it when one of its event
//! channels has been rung or a time has come ([`EventChannels::wait`]), looks what there is to do, does
//! it, and waits again. While it waits it costs no CPU time.
//!
//! Memory is one identity map of the lowest 4 GiB. All that Rust owns lies in the image; pages outside
//! it belong to whoever wrote them, and are reached through [`Page`] only.
#![no_std]
#![allow(unsafe_code)]

mod dma;
#[cfg(feature = "bare")]
mod entry;
mod hypercall;
#[cfg(feature = "bare")]
mod memory_functions;
mod network;
mod page;
mod processor;
mod shared_info;
mod start_info;
#[cfg(feature = "bare")]
mod traps;

pub use dma::ImageMemory;
#[cfg(feature = "bare")]
pub use entry::start;
pub use hypercall::{HvmParam, ShutdownReason, hvm_param, notify, shut_down};
pub use network::{MAX_FRAME, NetworkCard};
pub use page::{Page, Word};
pub use processor::{idle_forever, random_seed};
pub use shared_info::{EventChannels, SystemTime};
pub use start_info::StartInfo;

/// Names the function that a unikernel starts in: `fn(&StartInfo) -> !`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn unikernel_main(address: u64) -> ! {
            $main(&$crate::start(address))
        }
    };
}
