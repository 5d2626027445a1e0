// SPDX-License-Identifier: Apache-2.0
//! How this process gives up all files but the volumes, all rights but those of a file server, and
//! all system calls but those on files.
//!
//! The guest's root user is root on its volumes, as a container's is: files belong to whom the guest
//! says, whatever their modes. So this process stays uid 0 with the capabilities that say so, and
//! what keeps it from everything else is that nothing else has a name here.

mod capabilities;
mod mounts;
mod seccomp;

use lightvm_jail::JailError;

/// Where the volumes are, inside; lightvmd knows it too (native/addon/src/mounts.rs).
pub const VOLUMES: &str = "/volumes";

/// Leaves the host's files for a root that will hold the volumes, and the host's network for none.
///
/// # Errors
///
/// The kernel's.
pub fn enter() -> Result<(), JailError> {
    mounts::change_root()
}

/// Gives up every right that serving files does not take. Threads started later have no more.
///
/// # Errors
///
/// The kernel's.
pub fn give_up() -> Result<(), JailError> {
    capabilities::set_limits()?;
    capabilities::drop_others()
}

/// Gives up all system calls but those of serving files, for the calling thread.
///
/// # Errors
///
/// The kernel's.
pub fn lock() -> Result<(), JailError> {
    seccomp::install()
}
