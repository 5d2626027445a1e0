// SPDX-License-Identifier: Apache-2.0
//! The loopback interface: the one network that needs nobody else.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;

/// Index of `lo` in every network namespace.
const LOOPBACK_INDEX: i32 = 1;

/// Bytes of the request: nlmsghdr (16) and ifinfomsg (16).
const REQUEST_BYTES: u32 = 32;

/// Turns `lo` on; the kernel then gives it its addresses.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &request(), &kernel, MsgFlags::empty())?;
    let mut answer = [0; 256];
    // The kernel has answered when sendto returns: nothing waits here.
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    acknowledged(&answer[..length])
}

fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_BYTES as usize);
    request.extend(REQUEST_BYTES.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    request.extend([0; 8]); // sequence, port
    request.extend([0; 4]); // family, padding, type
    request.extend(LOOPBACK_INDEX.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes()); // which flags to change
    request
}

/// Reads an nlmsgerr: its header, then an errno as a negative number, 0 for success.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed netlink answer");
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        assert_eq!(request().len(), REQUEST_BYTES as usize);
    }

    #[test]
    fn reads_answers() {
        let answer = |code: i32| {
            let mut bytes = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert!(acknowledged(&answer(0)).is_ok());
        assert_eq!(
            acknowledged(&answer(-1)).unwrap_err().raw_os_error(),
            Some(1)
        );
        assert!(acknowledged(&[]).is_err());
    }
}
