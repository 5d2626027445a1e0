// SPDX-License-Identifier: Apache-2.0
//! Descriptors that a process finds open when it starts.

use std::error::Error;
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::process::{PidfdFlags, PidfdGetfdFlags};

/// Takes open sockets by their numbers. Their owner is nobody in the program, so copies are made by
/// way of the kernel and the originals are closed: no `unsafe` claims of ownership are needed. To be
/// called before anything is opened: a number that is free would be given to that.
///
/// # Errors
///
/// There is no socket of such a number, in words for the operator: the process was started by hand.
pub fn inherited_sockets(numbers: Range<RawFd>) -> Result<Vec<OwnedFd>, Box<dyn Error>> {
    // All before the first is taken, which opens descriptors.
    for number in numbers.clone() {
        let target = std::fs::read_link(format!("/proc/self/fd/{number}"))
            .map_err(|error| format!("descriptor {number} is not open: {error}"))?;
        if !target.as_os_str().as_bytes().starts_with(b"socket:") {
            return Err(format!("descriptor {number} is {}, no socket", target.display()).into());
        }
    }
    let this = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    numbers
        .map(|number| {
            let copy = rustix::process::pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
            nix::unistd::close(number)?;
            Ok(copy)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_taken_over_open() {
        let (ours, mut other) = UnixStream::pair().unwrap();
        let number = ours.into_raw_fd();
        let mut taken = inherited_sockets(number..number + 1).unwrap();
        let mut taken = UnixStream::from(taken.remove(0));
        other.write_all(b"x").unwrap();
        let mut byte = [0];
        taken.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let file = File::open("/etc/passwd").unwrap();
        let number = file.as_raw_fd();
        let error = inherited_sockets(number..number + 1).unwrap_err();
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
        assert!(inherited_sockets(9999..10_000).is_err());
    }
}
