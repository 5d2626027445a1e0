// SPDX-License-Identifier: Apache-2.0
//! Why a call is refused: one code of vmm.proto and one sentence for whoever reads lightvmd's log.

use std::error::Error;
use std::fmt::Write;

use lightvm_protocol::vmm::{Failure, failure::Code, vmm_message::Body};

/// A call that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
}

impl Refusal {
    /// A refusal; the message says what happened.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Refusal> for Body {
    fn from(refusal: Refusal) -> Self {
        Self::Failure(Failure {
            code: refusal.code.into(),
            message: refusal.message,
        })
    }
}

/// The request can never succeed.
pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Invalid, message)
}

/// The call belongs to another phase.
pub(crate) fn wrong_phase(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::FailedPrecondition, message)
}

/// An error and all its causes in one line: the top of the program is where a chain is printed.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
