// SPDX-License-Identifier: Apache-2.0
//! Standard input, output and error of a process that is about to run.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, fchown, openat};
use rustix::process::{Gid, Uid, ioctl_tiocsctty};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Launch;
use crate::error::{CallError, During};

/// The three descriptors that came with a launch.
pub(super) fn take_three(
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<[OwnedFd; 3], CallError> {
    let mut next = || {
        descriptors
            .next()
            .ok_or_else(|| CallError::internal("a stream is missing"))
    };
    Ok([next()?, next()?, next()?])
}

/// Makes `streams` the standard ones.
pub(super) fn install(streams: &[OwnedFd; 3], launch: &Launch) -> Result<(), CallError> {
    for stream in &streams[1..] {
        // /dev/stdout is opened anew by some programs, which only the owner of a pipe may.
        give(stream, launch)?;
    }
    let [stdin, stdout, stderr] = streams;
    dup2_stdin(stdin).during("set standard input")?;
    dup2_stdout(stdout).during("set standard output")?;
    dup2_stderr(stderr).during("set standard error")
}

/// Makes a new terminal of the container the standard streams and the controlling terminal, and
/// returns its master end.
pub(super) fn open_terminal(launch: &Launch) -> Result<OwnedFd, CallError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(CWD, "/dev/pts/ptmx", flags, Mode::empty()).during("open a terminal")?;
    unlockpt(&master).during("unlock the terminal")?;
    let slave_flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, slave_flags).during("open the terminal's other end")?;
    let (width, height) = (
        launch.process.terminal_width,
        launch.process.terminal_height,
    );
    if width > 0 && height > 0 {
        let clip = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: clip(height),
            ws_col: clip(width),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).during("size the terminal")?;
    }
    ioctl_tiocsctty(&slave).during("make the terminal the controlling one")?;
    give(&slave, launch)?;
    dup2_stdin(&slave).during("set standard input")?;
    dup2_stdout(&slave).during("set standard output")?;
    dup2_stderr(&slave).during("set standard error")?;
    Ok(master)
}

fn give(stream: &OwnedFd, launch: &Launch) -> Result<(), CallError> {
    let root = launch.mapped_root.unwrap_or_default();
    let (uid, gid) = (root.uid + launch.uid, root.gid + launch.gid);
    if uid == 0 {
        return Ok(());
    }
    let owner = Some(Uid::from_raw(uid));
    fchown(stream, owner, Some(Gid::from_raw(gid))).during("give a stream to its user")
}
