// SPDX-License-Identifier: Apache-2.0
//! The node daemon's native part: what only dom0 may ask of Xen, network namespaces and taps, starting
//! a process, handing an open file to it, and mounting a pod's volumes. `index.d.ts` is its face.
//!
//! Loading it asks nothing of Xen. Without Xen, each call fails and says so.

// The glue that napi-derive generates is unsafe code.
#![allow(unsafe_code)]

mod handover;
pub mod hypervisor;
mod mounts;
mod namespace;
pub mod network;
pub mod processes;
mod reap;
pub mod send_files;
mod spawn;
mod tap;
pub mod task;
mod user_namespace;
pub mod volumes;
