// SPDX-License-Identifier: Apache-2.0
//! What the file server is started with: `lightvm-files --channels COUNT`, the channels as
//! descriptors 3, 4, …: connected stream sockets, whose other ends the VMM has.

use std::error::Error;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;

use lightvm_jail::inherited_sockets;

const USAGE: &str = "usage: lightvm-files --channels COUNT, the channels from descriptor 3 on";
const FIRST_CHANNEL: RawFd = 3;
const MAX_CHANNELS: RawFd = 64;

/// Takes over what lightvmd has left for this process.
///
/// # Errors
///
/// A sentence for the operator: the process was started by hand.
pub fn inherit(
    arguments: impl Iterator<Item = OsString>,
) -> Result<Vec<UnixStream>, Box<dyn Error>> {
    let count = parse(arguments).ok_or(USAGE)?;
    let channels = inherited_sockets(FIRST_CHANNEL..FIRST_CHANNEL + count)?;
    Ok(channels.into_iter().map(UnixStream::from).collect())
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
