// SPDX-License-Identifier: Apache-2.0
//! The system calls that are left to a thread that serves files.
//!
//! Everything here works on descriptors, or on names below them. There is no socket, no exec, no
//! clone, no signal, no mount, no ioctl and no executable memory.

use libc::{c_int, c_long};
use lightvm_jail::{Filter, JailError, Violation};

/// Calls that are allowed whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // The channel
    libc::SYS_recvfrom,
    libc::SYS_write,
    libc::SYS_writev,
    // Names
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    // Content
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_getdents64,
    // Attributes
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_getxattr,
    libc::SYS_setxattr,
    libc::SYS_listxattr,
    libc::SYS_removexattr,
    // Descriptors
    libc::SYS_close,
    libc::SYS_dup,
    // In whose name a file is created
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_umask,
    // Memory and threads, as the allocator and the locks need them
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    // The end
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Lets this thread make the calls of the list and no others; any other ends the process with
/// SIGSYS.
pub(super) fn install() -> Result<(), JailError> {
    apply(Violation::Kills)
}

fn apply(violation: Violation) -> Result<(), JailError> {
    // The guest's open flags go to the descriptor.
    let commands = [libc::F_GETFD, libc::F_GETFL, libc::F_SETFL];
    let program = Filter::of(ALLOWED)
        .masked(libc::SYS_mmap, 2, libc::PROT_EXEC, 0)?
        .masked(libc::SYS_mprotect, 2, libc::PROT_EXEC, 0)?
        .one_of(libc::SYS_fcntl, 1, &commands.map(c_int::unsigned_abs))?
        .compile(violation)?;
    lightvm_jail::install_filter(&program)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    /// Runs `what` in a thread of its own under the filter, violations giving EPERM.
    fn filtered<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        let run = || {
            apply(Violation::Fails).unwrap();
            what()
        };
        thread::spawn(run).join().unwrap()
    }

    fn denied<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    #[test]
    fn files_can_be_opened_and_nothing_else() {
        assert!(filtered(|| File::open("/proc/self/status").is_ok()));
        assert!(filtered(|| denied(UnixStream::pair())));
        assert!(filtered(|| denied(
            std::process::Command::new("/bin/true").spawn()
        )));
        assert!(filtered(|| denied(thread::Builder::new().spawn(|| ()))));
        let this = rustix::process::getpid();
        let signalled = filtered(move || rustix::process::test_kill_process(this));
        assert_eq!(signalled, Err(rustix::io::Errno::PERM));
        let mounted = filtered(|| {
            let flags = rustix::mount::UnmountFlags::empty();
            rustix::mount::unmount("/nonexistent", flags)
        });
        assert_eq!(mounted, Err(rustix::io::Errno::PERM));
    }
}
