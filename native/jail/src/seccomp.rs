// SPDX-License-Identifier: Apache-2.0
//! The system calls that are left to a thread: a list of them, and the program that the kernel runs
//! on each call.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// An instruction of a filter's program.
pub use seccompiler::sock_filter as Instruction;

use crate::{During, JailError};

const COMPILE: &str = "compile the seccomp filter";

/// What a system call does that is not among those that are left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// It ends the process with SIGSYS.
    Kills,
    /// It fails with EPERM: how tests see that it would have ended the process.
    Fails,
}

/// System calls that are left. No other is.
#[derive(Debug)]
pub struct Filter {
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
}

impl Filter {
    /// These calls, whatever their arguments are.
    pub fn of(calls: &[c_long]) -> Self {
        Self {
            rules: calls.iter().map(|&call| (call, Vec::new())).collect(),
        }
    }

    /// Also `call`, if of its argument `index`, the lower half of it, the bits `mask` are `value`.
    ///
    /// # Errors
    ///
    /// There is no such argument.
    pub fn masked(
        self,
        call: c_long,
        index: u8,
        mask: c_int,
        value: c_int,
    ) -> Result<Self, JailError> {
        let compare = SeccompCmpOp::MaskedEq(mask.unsigned_abs().into());
        self.with(call, index, compare, value.unsigned_abs().into())
    }

    /// Also `call`, if its argument `index`, the lower half of it, is one of `values`.
    ///
    /// # Errors
    ///
    /// There is no such argument.
    pub fn one_of(self, call: c_long, index: u8, values: &[u32]) -> Result<Self, JailError> {
        values.iter().try_fold(self, |filter, &value| {
            filter.with(call, index, SeccompCmpOp::Eq, value.into())
        })
    }

    /// The program that lets these calls pass, and answers any other with `violation`.
    ///
    /// # Errors
    ///
    /// The list is longer than the kernel takes.
    pub fn compile(self, violation: Violation) -> Result<Vec<Instruction>, JailError> {
        let violation = match violation {
            Violation::Kills => SeccompAction::KillProcess,
            Violation::Fails => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        };
        let program: Result<BpfProgram, BackendError> = SeccompFilter::new(
            self.rules,
            violation,
            SeccompAction::Allow,
            TargetArch::x86_64,
        )
        .and_then(SeccompFilter::try_into);
        program.during(COMPILE)
    }

    fn with(
        mut self,
        call: c_long,
        index: u8,
        compare: SeccompCmpOp,
        value: u64,
    ) -> Result<Self, JailError> {
        let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, compare, value)
            .during(COMPILE)?;
        let rule = SeccompRule::new(vec![condition]).during(COMPILE)?;
        self.rules.entry(call).or_default().push(rule);
        Ok(self)
    }
}

/// Leaves the calling thread, and those that it starts, the calls of `program` and no others.
///
/// # Errors
///
/// The kernel's.
pub fn install_filter(program: &[Instruction]) -> Result<(), JailError> {
    seccompiler::apply_filter(program).during("install the seccomp filter")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;

    use rustix::fs::{AtFlags, StatxFlags};
    use rustix::io::{Errno, FdFlags};

    use super::*;

    /// What a thread needs to come to its end.
    const END: &[c_long] = &[
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_close,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
    ];

    /// Runs `what` in a thread of its own under `filter`.
    fn filtered<T: Send + 'static>(filter: Filter, what: impl FnOnce() -> T + Send + 'static) -> T {
        let program = filter.compile(Violation::Fails).unwrap();
        let run = move || {
            install_filter(&program).unwrap();
            what()
        };
        thread::spawn(run).join().unwrap()
    }

    #[test]
    fn an_argument_must_be_one_of_those_named() {
        let commands = [libc::F_GETFD, libc::F_GETFL].map(c_int::unsigned_abs);
        let filter = Filter::of(END)
            .one_of(libc::SYS_fcntl, 1, &commands)
            .unwrap();
        let file = File::open("/proc/self/status").unwrap();
        filtered(filter, move || {
            assert_eq!(rustix::io::fcntl_getfd(&file), Ok(FdFlags::CLOEXEC));
            assert!(rustix::fs::fcntl_getfl(&file).is_ok());
            let outcome = rustix::io::fcntl_setfd(&file, FdFlags::empty());
            assert_eq!(outcome, Err(Errno::PERM));
        });
    }

    #[test]
    fn none_named_leaves_none() {
        let filter = Filter::of(END).one_of(libc::SYS_fcntl, 1, &[]).unwrap();
        let file = File::open("/proc/self/status").unwrap();
        filtered(filter, move || {
            assert_eq!(rustix::io::fcntl_getfd(&file), Err(Errno::PERM));
        });
    }

    #[test]
    fn bits_of_an_argument_must_be_as_named() {
        let of_descriptor = libc::AT_EMPTY_PATH;
        let filter = Filter::of(END)
            .masked(libc::SYS_statx, 2, of_descriptor, of_descriptor)
            .unwrap();
        let file = File::open("/proc/self").unwrap();
        filtered(filter, move || {
            let statx = |name, flags| rustix::fs::statx(&file, name, flags, StatxFlags::TYPE);
            let also = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
            assert!(statx("", AtFlags::EMPTY_PATH).is_ok());
            assert!(statx("", also).is_ok());
            let outcome = statx("status", AtFlags::empty());
            assert_eq!(outcome.unwrap_err(), Errno::PERM);
        });
    }
}
