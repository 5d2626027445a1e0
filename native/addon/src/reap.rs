// SPDX-License-Identifier: Apache-2.0
//! How a child has ended.

use std::io;

use nix::sys::signal::Signal;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

/// How a child has ended.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// With what it gave to exit(2).
    Code(i32),
    /// By a signal of this name; those without one are "signal 34" and up.
    Signal(String),
    /// Nobody knows: it is no child of ours, or not any more.
    Unknown,
}

/// How a child has ended, as the kernel tells its parent, once; nothing while it runs.
pub(crate) fn reap(pid: i32) -> io::Result<Option<Exit>> {
    // Others would mean any child, and Node has its own.
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended.map(|(_, status)| exit_of(status))),
        Err(Errno::CHILD) => Ok(Some(Exit::Unknown)),
        Err(error) => Err(error.into()),
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(number)) => Exit::Signal(match Signal::try_from(number) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => format!("signal {number}"),
        }),
        // Children that are only stopped are not waited for.
        (None, None) => Exit::Unknown,
    }
}
