// SPDX-License-Identifier: Apache-2.0
//! `lightvm-agent pod-init`: the first process of a pid namespace that containers of the pod share.
//!
//! Somebody has to be first there, inherit orphans, and never end. The agent itself is first in the
//! guest's own namespace, but containers shall not even see it.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

/// Collects orphans for as long as the guest lives.
pub fn main() -> ExitCode {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    if let Err(error) = children.thread_block() {
        eprintln!("lightvm-agent: pod-init could not wait for signals: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_)) | Err(Errno::INTR)) {}
        if let Err(error) = children.wait() {
            eprintln!("lightvm-agent: pod-init could not wait for a signal: {error}");
        }
    }
}
