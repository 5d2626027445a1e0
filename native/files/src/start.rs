// SPDX-License-Identifier: Apache-2.0
//! What the file server is started with: `lightvm-files --channels COUNT`, the channels as
//! descriptors 3, 4, …: connected stream sockets, whose other ends the VMM has.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::process::{PidfdFlags, PidfdGetfdFlags};

const USAGE: &str = "usage: lightvm-files --channels COUNT, the channels from descriptor 3 on";
const FIRST_CHANNEL: RawFd = 3;
const MAX_CHANNELS: RawFd = 64;

/// Takes over what lightvmd has left for this process.
///
/// # Errors
///
/// A sentence for the operator: the process was started by hand.
pub(crate) fn inherit(
    arguments: impl Iterator<Item = OsString>,
) -> Result<Vec<UnixStream>, Box<dyn Error>> {
    let count = parse(arguments).ok_or(USAGE)?;
    // All before anything is opened here: a number that is free would be given to that.
    let numbers = FIRST_CHANNEL..FIRST_CHANNEL + count;
    for number in numbers.clone() {
        let target = fs::read_link(format!("/proc/self/fd/{number}"))?;
        if !target.as_os_str().as_bytes().starts_with(b"socket:") {
            return Err(format!("descriptor {number} is {}", target.display()).into());
        }
    }
    numbers
        .map(|number| Ok(UnixStream::from(inherited(number)?)))
        .collect()
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<RawFd> {
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(option), Some(count), None) if option == "--channels" => {
            let count = count.to_str()?.parse().ok()?;
            (1..=MAX_CHANNELS).contains(&count).then_some(count)
        }
        _ => None,
    }
}

/// Takes an open socket by its number: a copy by way of the kernel, and the original is closed. So
/// no `unsafe` claim of ownership is needed.
fn inherited(number: RawFd) -> Result<OwnedFd, Box<dyn Error>> {
    let this = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let copy = rustix::process::pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
    nix::unistd::close(number)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Option<RawFd> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn takes_one_option() {
        assert_eq!(parsed(&["--channels", "4"]), Some(4));
        for bad in [
            &[][..],
            &["--channels"],
            &["--channels", "0"],
            &["--channels", "65"],
            &["--channels", "many"],
            &["--channels", "4", "more"],
            &["4", "--channels"],
        ] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
