// SPDX-License-Identifier: Apache-2.0
//! Lines for the operator, on stderr, which is the pod's vmm.log.

use std::fmt;
use std::io::Write;

use crate::clock::WallTime;

/// Lines that one guest may cause. It could cause them without end and fill the disk.
const MAX_LINES: u32 = 500;

/// Writes one line that the guest can't cause at will.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // There is nowhere to report that reports can't be written.
    drop(writeln!(std::io::stderr(), "{} {text}", WallTime::now()));
}

/// Lines that the guest may cause, up to a number.
#[derive(Debug)]
pub(crate) struct Report {
    left: u32,
}

impl Default for Report {
    fn default() -> Self {
        Self { left: MAX_LINES }
    }
}

impl Report {
    /// Writes one line unless there were too many.
    pub(crate) fn line(&mut self, text: fmt::Arguments<'_>) {
        match self.left {
            0 => return,
            1 => line(format_args!(
                "{text}; nothing more is reported of this guest"
            )),
            _ => line(text),
        }
        self.left -= 1;
    }
}
