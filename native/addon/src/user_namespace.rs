// SPDX-License-Identifier: Apache-2.0
//! User namespaces that say how a mount maps ids (user_namespaces(7), mount_setattr(2)). Nothing runs in
//! one: a namespace begins with a process, which waits until its maps are written, and ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::pipe2;

/// Bytes of stack for two system calls.
const STACK: usize = 64 << 10;

/// Ids of files, from 0 on, are seen as those from `host_id` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdRange {
    pub(crate) host_id: u32,
    pub(crate) length: u32,
}

/// How owners and groups of files are seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdMappings {
    pub(crate) uids: IdRange,
    pub(crate) gids: IdRange,
}

/// A namespace with these maps.
pub(crate) fn create(IdMappings { uids, gids }: IdMappings) -> io::Result<File> {
    let child = Waiting::start()?;
    let directory = format!("/proc/{}", child.pid);
    let line = |range: IdRange| format!("0 {} {}\n", range.host_id, range.length);
    fs::write(format!("{directory}/uid_map"), line(uids))?;
    fs::write(format!("{directory}/gid_map"), line(gids))?;
    File::open(format!("{directory}/ns/user"))
}

/// A process in a new user namespace. It ends when this is dropped.
struct Waiting {
    pid: libc::pid_t,
    /// It waits until nobody can write here any more.
    end: Option<OwnedFd>,
    /// Its own as long as it lives.
    _stack: Box<[u128]>,
    _wait: Box<OwnedFd>,
}

impl Waiting {
    fn start() -> io::Result<Self> {
        let (wait, end) = pipe2(OFlag::O_CLOEXEC)?;
        let wait = Box::new(wait);
        let mut stack = vec![0_u128; STACK / size_of::<u128>()].into_boxed_slice();
        // It has copies of Node's signal handlers, which must not run in it: no signal arrives.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // Without a copy of the page tables, for which a dom0 pays (see spawn.rs), and without a signal
        // at its end: Node waits for children of its own.
        let flags = libc::CLONE_VM | libc::CLONE_NEWUSER;
        let top = stack.as_mut_ptr_range().end.cast();
        let argument = (&raw const *wait).cast_mut().cast();
        // SAFETY: the child runs `until_closed` on a stack that is aligned, large enough and nobody
        // else's. That and `wait` live until the child has ended, for which `drop` waits.
        let pid = unsafe { libc::clone(until_closed, top, flags, argument) };
        let child = if pid < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self {
                pid,
                end: Some(end),
                _stack: stack,
                _wait: wait,
            })
        };
        before.thread_set_mask()?;
        child
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.end.take());
        loop {
            // SAFETY: nothing is written where the null pointer points. __WALL: it ends without a signal.
            let ended = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL) };
            // No other error can be: it is a child of ours, and nobody else waits for it.
            if ended == self.pid || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted
            {
                return;
            }
        }
    }
}

/// What the child does, in the memory of its parent but with descriptors of its own: it reads from a
/// pipe to which nobody can write once its parent has closed it, or has ended. All others it closes
/// first, among them what another child may wait for.
extern "C" fn until_closed(wait: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `Waiting::start` passes a descriptor that outlives this process.
    let wait = unsafe { &*wait.cast::<OwnedFd>() }
        .as_raw_fd()
        .unsigned_abs();
    for (first, last) in [(0, wait - 1), (wait + 1, u32::MAX)] {
        // SAFETY: these descriptors are this process's own copies. The plain system call neither fails,
        // which would write the parent's errno, nor knows of the C library's threads.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
    }
    let mut byte = 0_u8;
    // SAFETY: the same, and what is read, if anything ever were, has room for it on this stack.
    unsafe { libc::syscall(libc::SYS_read, wait, &raw mut byte, 1_usize) };
    0
}
