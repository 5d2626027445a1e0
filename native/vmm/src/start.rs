// SPDX-License-Identifier: Apache-2.0
//! What a VMM is started with: `lightvm-vmm --socket PATH`, the control socket as descriptor 3.

use std::error::Error;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use lightvm_jail::inherited_sockets;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::Mode;

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
    let control = inherited_sockets(CONTROL..CONTROL + 1)?.remove(0);
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
