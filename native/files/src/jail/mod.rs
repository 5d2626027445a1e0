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

use std::fmt;

/// Where the volumes are, inside; lightvmd knows it too (native/addon/src/mounts.rs).
pub(crate) const VOLUMES: &str = "/volumes";

/// A step into the jail that failed. The process must end.
#[derive(Debug)]
pub(crate) struct JailError {
    step: &'static str,
    cause: String,
}

impl JailError {
    fn new(step: &'static str, cause: impl fmt::Display) -> Self {
        Self {
            step,
            cause: cause.to_string(),
        }
    }
}

impl fmt::Display for JailError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.step, self.cause)
    }
}

impl std::error::Error for JailError {}

/// Says what was being done when the system refused.
trait During<T> {
    fn during(self, step: &'static str) -> Result<T, JailError>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, step: &'static str) -> Result<T, JailError> {
        self.map_err(|error| JailError::new(step, error))
    }
}

/// Leaves the host's files for a root that will hold the volumes, and the host's network for none.
pub(crate) fn enter() -> Result<(), JailError> {
    mounts::change_root()
}

/// Gives up every right that serving files does not take. Threads started later have no more.
pub(crate) fn give_up() -> Result<(), JailError> {
    capabilities::set_limits()?;
    capabilities::drop_others()
}

/// Gives up all system calls but those of serving files, for the calling thread.
pub(crate) fn lock() -> Result<(), JailError> {
    seccomp::install()
}
