// SPDX-License-Identifier: Apache-2.0
//! Why a call of the host failed.

use std::fmt;

use lightvm_protocol::agent::{Failure, failure::Code};

/// A call that failed, as the host is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What the host can do about it.
    pub code: Code,
    /// One sentence for humans.
    pub message: String,
}

impl CallError {
    /// A failure of any code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The request can never succeed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    /// No such container, process or device.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Not in the state that the call needs.
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    /// What nobody but us can be blamed for.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.message)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self {
            code: error.code.into(),
            message: error.message,
        }
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code(),
            message: failure.message,
        }
    }
}

/// Says what was being done when the system refused.
pub trait During<T> {
    /// The failure as [`Code::Internal`]: "could not `what`: cause".
    fn during(self, what: impl fmt::Display) -> Result<T, CallError>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Result<T, CallError> {
        self.map_err(|cause| CallError::internal(format!("could not {what}: {cause}")))
    }
}
