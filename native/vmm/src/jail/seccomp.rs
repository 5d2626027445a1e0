// SPDX-License-Identifier: Apache-2.0
//! The system calls that are left to a VMM once its domain is built.
//!
//! The list holds what the event loop needs and nothing that gives a new descriptor except
//! accepting connections and receiving files from lightvmd: no open, no socket, no exec, no clone,
//! no executable memory. Of Xen's requests it has ringing, and mapping the memory that the guest
//! gets later; the kernel holds both to the one domain.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::JailError;

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

/// `IOCTL_EVTCHN_UNBIND` and `IOCTL_EVTCHN_NOTIFY` of Linux' <xen/evtchn.h>: `_IOC(0, 'E', n, 4)`.
/// The kernel holds both to the ports that this descriptor has bound.
const EVTCHN_UNBIND: u64 = 0x0004_4503;
const EVTCHN_NOTIFY: u64 = 0x0004_4504;

/// Lets this thread make the calls of the list and no others; any other ends the process with
/// SIGSYS. This process has one thread.
pub(super) fn install() -> Result<(), JailError> {
    apply(SeccompAction::KillProcess)
}

fn apply(violation: SeccompAction) -> Result<(), JailError> {
    let program = compile(violation)
        .map_err(|error| JailError::new("compile the seccomp filter", error.to_string()))?;
    seccompiler::apply_filter(&program)
        .map_err(|error| JailError::new("install the seccomp filter", error.to_string()))
}

fn compile(violation: SeccompAction) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let executable = masked(2, libc::PROT_EXEC, 0)?;
    rules.insert(libc::SYS_mmap, vec![executable]);
    let of_descriptor = masked(2, libc::AT_EMPTY_PATH, libc::AT_EMPTY_PATH)?;
    rules.insert(libc::SYS_statx, vec![of_descriptor]);
    let ioctls: Result<Vec<_>, _> = [EVTCHN_NOTIFY, EVTCHN_UNBIND, lightvm_xen::MMAP_BATCH]
        .into_iter()
        .map(|request| exactly(1, request))
        .collect();
    rules.insert(libc::SYS_ioctl, ioctls?);
    let commands = [libc::F_GETFD, libc::F_GETFL, libc::F_SETFL];
    let commands: Result<Vec<_>, _> = commands
        .iter()
        .map(|&command| exactly(1, u64::from(command.unsigned_abs())))
        .collect();
    rules.insert(libc::SYS_fcntl, commands?);
    SeccompFilter::new(rules, violation, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

/// A rule: the bits `mask` of argument `index` are `value`.
fn masked(index: u8, mask: c_int, value: c_int) -> Result<SeccompRule, seccompiler::BackendError> {
    let (mask, value) = (
        u64::from(mask.unsigned_abs()),
        u64::from(value.unsigned_abs()),
    );
    let compare = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(
        index,
        SeccompCmpArgLen::Dword,
        compare,
        value,
    )?])
}

/// A rule: the lower half of argument `index` is `value`.
fn exactly(index: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let compare = SeccompCmpOp::Eq;
    SeccompRule::new(vec![SeccompCondition::new(
        index,
        SeccompCmpArgLen::Dword,
        compare,
        value,
    )?])
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    /// Runs `what` in a thread of its own under the filter, violations giving EPERM.
    fn filtered<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        let action = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let run = || {
            apply(action).unwrap();
            what()
        };
        thread::spawn(run).join().unwrap()
    }

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    #[test]
    fn nothing_can_be_opened_or_connected() {
        assert!(filtered(|| denied(File::open("/proc/self/status"))));
        assert!(filtered(|| denied(File::create("/tmp/lightvm-vmm-never"))));
        assert!(filtered(|| denied(UnixStream::pair())));
        assert!(filtered(|| denied(TcpListener::bind("127.0.0.1:0"))));
        assert!(filtered(|| denied(std::fs::remove_file(
            "/tmp/lightvm-vmm-never"
        ))));
    }

    #[test]
    fn nothing_can_be_run() {
        assert!(filtered(|| denied(
            std::process::Command::new("/bin/true").spawn()
        )));
        assert!(filtered(|| denied(thread::Builder::new().spawn(|| ()))));
    }

    #[test]
    fn open_descriptors_work_on() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut file = File::open("/proc/self/status").unwrap();
        let (length, echo) = filtered(move || {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            near.write_all(b"x").unwrap();
            let mut echo = [0];
            far.read_exact(&mut echo).unwrap();
            (text.len(), echo)
        });
        assert!(length > 0);
        assert_eq!(&echo, b"x");
    }

    #[test]
    fn large_allocations_come_and_go() {
        let sum = filtered(|| {
            let mut bytes = vec![1_u8; 8 << 20];
            bytes.resize(16 << 20, 2);
            bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>()
        });
        assert_eq!(sum, 24 << 20);
    }
}
