// SPDX-License-Identifier: Apache-2.0
//! The system calls that are left to a VMM once its domain is built.
//!
//! The list holds what the event loop needs and nothing that gives a new descriptor except
//! accepting connections and receiving files from lightvmd: no open, no socket, no exec, no clone,
//! no executable memory. Of Xen's requests it has binding and ringing event channels, and mapping
//! the memory that the guest gets later; the kernel holds all of them to the one domain.
//!
//! The build script compiles the list, so that no VMM spends its start on that.

use libc::{c_int, c_long};
use lightvm_jail::{Filter, Instruction, JailError, Violation};

/// Calls that are allowed whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // Descriptors that we hold
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_fdatasync,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    // lightvmd's connections
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    // The event loop
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    // Memory, as the allocator and the unmapping of the guest need it
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    // The end
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// `IOCTL_EVTCHN_BIND_INTERDOMAIN`, as `lightvm_xen` makes it: the kernel holds it to the one domain.
pub(crate) const EVTCHN_BIND: u32 = 0x0008_4501;
/// `IOCTL_EVTCHN_UNBIND` and `IOCTL_EVTCHN_NOTIFY` of Linux' <xen/evtchn.h>: `_IOC(0, 'E', n, 4)`.
/// The kernel holds both to the ports that this descriptor has bound.
const EVTCHN_UNBIND: u32 = 0x0004_4503;
const EVTCHN_NOTIFY: u32 = 0x0004_4504;
/// `BLKSSZGET` of Linux' <linux/fs.h>: a disk's logical block size.
pub(crate) const BLOCK_SIZE: u32 = 0x1268;
/// `IOCTL_PRIVCMD_MMAPBATCH_V2`, as `lightvm_xen` makes it.
pub(crate) const MMAP_BATCH: u32 = 0x0020_5004;

/// The program that lets the calls of the list pass and answers any other with `violation`.
pub(crate) fn compile(violation: Violation) -> Result<Vec<Instruction>, JailError> {
    let commands = [libc::F_GETFD, libc::F_GETFL, libc::F_SETFL];
    Filter::of(ALLOWED)
        .masked(libc::SYS_mmap, 2, libc::PROT_EXEC, 0)?
        // Of a descriptor, not of a name.
        .masked(libc::SYS_statx, 2, libc::AT_EMPTY_PATH, libc::AT_EMPTY_PATH)?
        .one_of(
            libc::SYS_ioctl,
            1,
            &[
                EVTCHN_BIND,
                EVTCHN_NOTIFY,
                EVTCHN_UNBIND,
                MMAP_BATCH,
                BLOCK_SIZE,
            ],
        )?
        .one_of(libc::SYS_fcntl, 1, &commands.map(c_int::unsigned_abs))?
        .compile(violation)
}
