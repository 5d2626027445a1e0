// SPDX-License-Identifier: Apache-2.0
//! Handing open files to another process over a UNIX socket (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Sends `hello` with `files` attached to its first byte and waits for the answer, a byte 0. All of
/// it takes `timeout` at most.
pub(crate) fn hand_over(
    path: &Path,
    hello: &[u8],
    files: &[OwnedFd],
    timeout: Duration,
) -> io::Result<()> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect_by(path, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let descriptors: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let bytes = [IoSlice::new(hello)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(stream.as_raw_fd(), &bytes, &rights, flags, None)?;
    stream.write_all(&hello[sent..])?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    let mut answer = [1];
    stream.read_exact(&mut answer).map_err(name_timeout)?;
    if answer == [0] {
        Ok(())
    } else {
        Err(io::Error::other("the files were refused"))
    }
}

/// Connects like [`UnixStream::connect`], which would wait for ever on a full backlog.
fn connect_by(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let milliseconds = i64::try_from(left(deadline)?.as_millis())
        .unwrap_or(i64::MAX)
        .max(1);
    setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::milliseconds(milliseconds),
    )?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
        .map_err(io::Error::from)
        .map_err(name_timeout)?;
    Ok(UnixStream::from(socket))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A socket's own time limit shows as EAGAIN.
fn name_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
