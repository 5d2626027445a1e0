// SPDX-License-Identifier: Apache-2.0
//! Why a process did not get into its jail.

use std::fmt;

/// A step into the jail that failed. The process is in an unknown state between its old rights and
/// what was to be left: it must end.
#[derive(Debug)]
pub struct JailError {
    step: &'static str,
    cause: String,
}

impl JailError {
    /// `step` completes "cannot …".
    pub fn new(step: &'static str, cause: impl fmt::Display) -> Self {
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
pub trait During<T> {
    /// `step` completes "cannot …".
    ///
    /// # Errors
    ///
    /// The one that was there, with the step.
    fn during(self, step: &'static str) -> Result<T, JailError>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, step: &'static str) -> Result<T, JailError> {
        self.map_err(|error| JailError::new(step, error))
    }
}
