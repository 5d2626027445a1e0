// SPDX-License-Identifier: Apache-2.0
//! The device nodes that every container has.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::error::{CallError, During};

/// Name, major and minor number.
const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Fills the empty tmpfs at /dev.
pub(super) fn populate() -> Result<(), CallError> {
    // Whatever umask we were started with, everyone may use these.
    let before = rustix::process::umask(Mode::empty());
    for (path, major, minor) in NODES {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            path,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )
        .during(format_args!("make {path}"))?;
    }
    rustix::process::umask(before);
    for (link, target) in LINKS {
        symlink(target, link).during(format_args!("make {link}"))?;
    }
    Ok(())
}
