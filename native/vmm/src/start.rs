// SPDX-License-Identifier: Apache-2.0
//! What a VMM is started with: `lightvm-vmm --socket PATH`, the control socket as descriptor 3.

use std::error::Error;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::Mode;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use crate::process::Inheritance;
use crate::resident::ResidentMemory;

const CONTROL: RawFd = 3;

/// Takes over what lightvmd has left for this process, and listens.
///
/// # Errors
///
/// A sentence for the operator: the process was started by hand, or the system refuses a step.
pub(crate) fn inherit(
    arguments: impl Iterator<Item = OsString>,
) -> Result<Inheritance, Box<dyn Error>> {
    let path = socket_path(arguments)?;
    // lightvmd may end, its terminal too. A process that leads a group already cannot, and need not.
    let _session = rustix::process::setsid();
    let control = inherited(CONTROL)
        .map_err(|error| format!("descriptor {CONTROL} is not a control socket: {error}"))?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signals, flags)?;
    let memory = ResidentMemory::open()?;
    // Whoever connects can have any file of ours: root only.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(&path)
        .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
    listener.set_nonblocking(true)?;
    Ok(Inheritance {
        control,
        listener: listener.into(),
        signals,
        memory,
    })
}

fn socket_path(mut arguments: impl Iterator<Item = OsString>) -> Result<PathBuf, &'static str> {
    const USAGE: &str = "usage: lightvm-vmm --socket PATH, with a control socket as descriptor 3";
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(option), Some(path), None) if option == "--socket" && !path.is_empty() => {
            Ok(path.into())
        }
        _ => Err(USAGE),
    }
}

/// Takes an open socket by its number. Its owner is nobody in this program, so a copy is made
/// by way of the kernel and the original is closed: no `unsafe` claims of ownership are needed.
fn inherited(number: RawFd) -> Result<OwnedFd, Box<dyn Error>> {
    // Before anything is opened here: a number that is free would be given to that.
    let target = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
    if !target.as_os_str().as_bytes().starts_with(b"socket:") {
        return Err(format!("it is {}", target.display()).into());
    }
    let this = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let copy = rustix::process::pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
    nix::unistd::close(number)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<PathBuf> {
        socket_path(arguments.iter().map(OsString::from)).ok()
    }

    #[test]
    fn takes_one_option() {
        assert_eq!(parse(&["--socket", "/x"]), Some("/x".into()));
        for bad in [
            &[][..],
            &["--socket"],
            &["--socket", ""],
            &["/x"],
            &["--socket", "/x", "y"],
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
