// SPDX-License-Identifier: Apache-2.0
//! What the file server is started with: `lightvm-files --channels COUNT`, a socket to lightvmd as
//! descriptor 3, and the channels as 4, 5, …: connected stream sockets, whose other ends the VMM has.

use std::error::Error;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;

use lightvm_jail::inherited_sockets;

const USAGE: &str =
    "usage: lightvm-files --channels COUNT, lightvmd as descriptor 3, the channels from 4 on";
const CONTROL: RawFd = 3;
const MAX_CHANNELS: RawFd = 64;

/// What lightvmd has left for this process.
#[derive(Debug)]
pub struct Inheritance {
    /// Where it waits for one word, and notices the end of this process.
    pub control: UnixStream,
    /// One thread's each.
    pub channels: Vec<UnixStream>,
}

/// Takes over what lightvmd has left for this process, which lives on when lightvmd's session ends.
///
/// # Errors
///
/// A sentence for the operator: the process was started by hand.
pub fn inherit(arguments: impl Iterator<Item = OsString>) -> Result<Inheritance, Box<dyn Error>> {
    let count = parse(arguments).ok_or(USAGE)?;
    // Fails for a leader of a process group only, which has left its parent's already.
    let _session = rustix::process::setsid();
    let mut sockets = inherited_sockets(CONTROL..CONTROL + 1 + count)?;
    let channels = sockets.split_off(1).into_iter().map(UnixStream::from);
    Ok(Inheritance {
        channels: channels.collect(),
        control: sockets.remove(0).into(),
    })
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
