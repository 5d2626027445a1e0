// SPDX-License-Identifier: Apache-2.0
//! Starting a program without a copy of this process. Node forks, and a dom0 pays for that with a copy of
//! all page tables of lightvmd, each page of which Xen checks: tens of milliseconds, and more the more
//! lightvmd holds. posix_spawn(3) lets the child borrow the address space until it executes its program.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, pipe2};

/// A server's end of its control socket.
const CONTROL: RawFd = 3;

/// Our ends of a child's standard streams.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) input: File,
    pub(crate) output: File,
    pub(crate) errors: File,
}

/// Starts a program with no environment, nothing on its standard input, the file `log` as its output, a
/// control socket as descriptor 3, and `more` as those behind it. Returns our end of the socket. Of
/// `more` none may have a number here that another one gets in the child.
pub(crate) fn start_server(
    program: String,
    arguments: Vec<String>,
    log: RawFd,
    more: &[RawFd],
) -> io::Result<(Pid, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let nothing = File::open("/dev/null")?;
    let words = words([program].into_iter().chain(arguments))?;
    let mut descriptors = vec![
        (nothing.as_raw_fd(), 0),
        (log, 1),
        (log, 2),
        (theirs.as_raw_fd(), CONTROL),
    ];
    descriptors.extend(more.iter().copied().zip(CONTROL + 1..));
    Ok((spawn(&words, &[], &descriptors)?, ours))
}

/// Starts a program without arguments, with pipes as its standard streams.
pub(crate) fn start_filter(program: String, environment: Vec<String>) -> io::Result<(Pid, Pipes)> {
    let (their_input, input) = pipe2(OFlag::O_CLOEXEC)?;
    let (output, their_output) = pipe2(OFlag::O_CLOEXEC)?;
    let (errors, their_errors) = pipe2(OFlag::O_CLOEXEC)?;
    let descriptors = [
        (their_input.as_raw_fd(), 0),
        (their_output.as_raw_fd(), 1),
        (their_errors.as_raw_fd(), 2),
    ];
    let pid = spawn(&words([program])?, &words(environment)?, &descriptors)?;
    let pipes = Pipes {
        input: input.into(),
        output: output.into(),
        errors: errors.into(),
    };
    Ok((pid, pipes))
}

/// All signals are as they are by default. Of our descriptors the child has those that are named, under
/// their new numbers: Rust and Node open nothing else to be inherited.
fn spawn(
    words: &[CString],
    environment: &[CString],
    descriptors: &[(RawFd, RawFd)],
) -> io::Result<Pid> {
    let mut files = PosixSpawnFileActions::init()?;
    for &(own, new) in descriptors {
        files.add_dup2(own, new)?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    let program = words[0].as_c_str();
    Ok(posix_spawn(
        program,
        &files,
        &attributes,
        words,
        environment,
    )?)
}

fn words(texts: impl IntoIterator<Item = String>) -> io::Result<Vec<CString>> {
    let words = texts.into_iter().map(CString::new);
    Ok(words.collect::<Result<_, _>>()?)
}
