// SPDX-License-Identifier: Apache-2.0
//! System calls of the agent that no safe crate offers. Nothing else belongs here.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of one instruction (`struct sock_filter`).
const INSTRUCTION_BYTES: usize = 8;

/// Installs a seccomp filter, a program in classic BPF as `linux/filter.h` lays it out, for this
/// thread and all that it starts. Unlike what crates offer, it leaves no_new_privs as it is: without
/// that, the caller needs CAP_SYS_ADMIN in its user namespace.
pub fn install_seccomp_filter(program: &[u8]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> = program
        .chunks_exact(INSTRUCTION_BYTES)
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let whole = program.len() == instructions.len() * INSTRUCTION_BYTES;
    let (true, Ok(len)) = (whole, u16::try_from(instructions.len())) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let filter = libc::sock_fprog {
        len,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: `filter` and the `len` instructions that it points to live until the call is over, and
    // the kernel copies them; it checks the program itself, which can't touch our memory.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0 as libc::c_ulong,
            &raw const filter,
        )
    };
    check(outcome)
}

/// Shows the files below a mount that is not attached yet (from `open_tree`) with the ids that they
/// have in `user_namespace`.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(user_namespace.as_raw_fd().unsigned_abs()),
    };
    // SAFETY: path and attributes are valid for reading until the call is over, the size is that of
    // the attributes, and both descriptors are open as long as they are borrowed.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(outcome)
}

fn check(outcome: libc::c_long) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_instruction_is_no_program() {
        let error = install_seccomp_filter(&[0; 12]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_kernel_refuses_a_program_without_a_return() {
        // One load of the system call's number, after which the program would run off its end.
        let error = install_seccomp_filter(&[0x20, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
        // Whoever may install none at all hears so first.
        let kinds = [io::ErrorKind::InvalidInput, io::ErrorKind::PermissionDenied];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}
