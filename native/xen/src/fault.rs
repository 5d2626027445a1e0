// SPDX-License-Identifier: Apache-2.0
//! What happens when this process touches guest memory that is not there.
//!
//! A guest that has not got all of its memory yet can still name all of it in a ring. Nothing can be
//! read or written then, and nothing sensible be done for such a guest: the process says so and ends,
//! and the pod with it.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::error::XenError;

/// Start and end of the addresses of guest memory, twice: below and above the hole.
static GUEST: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

const GUEST_FAULT: &[u8] =
    b"the guest pointed a device at memory that it has not got: its VM ends here\n";
const OWN_FAULT: &[u8] = b"a memory fault in the VMM itself: its VM ends here\n";

/// Ends this process with a line on stderr at the next fault. To be called before system calls are
/// given up.
pub(crate) fn explain_faults(guest: &[Range<usize>]) -> Result<(), XenError> {
    for (range, pair) in guest.iter().zip(GUEST.chunks_exact(2)) {
        pair[0].store(range.start, Ordering::Relaxed);
        pair[1].store(range.end, Ordering::Relaxed);
    }
    // On the stack that the runtime keeps for this, as the fault may be a stack's overflow.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(on_fault), flags, SigSet::empty());
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the handler makes async-signal-safe calls only and does not return.
        unsafe { sigaction(signal, &action) }.map_err(|error| XenError::Refused {
            operation: "setting a signal's handler",
            source: error.into(),
        })?;
    }
    Ok(())
}

extern "C" fn on_fault(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to a handler with SA_SIGINFO.
    let info = unsafe { &*info };
    // SAFETY: for the signals that this handler is set for, the kernel fills si_addr.
    let address = unsafe { info.si_addr() } as usize;
    let inside = |pair: &[AtomicUsize]| {
        (pair[0].load(Ordering::Relaxed)..pair[1].load(Ordering::Relaxed)).contains(&address)
    };
    let text = match GUEST.chunks_exact(2).any(inside) {
        true => GUEST_FAULT,
        false => OWN_FAULT,
    };
    // SAFETY: the pointer and the length are those of a static.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: ends the process at once, which any thread may do at any time.
    unsafe { libc::_exit(1) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    use super::*;
    use crate::foreign::ForeignRange;

    #[test]
    #[ignore = "ends its process: the next test runs it in one of its own"]
    fn touches_memory_that_is_not_there() {
        let mut range = ForeignRange::reserve(0..0x4000).unwrap();
        explain_faults(&[range.addresses()]).unwrap();
        let memory = GuestMemoryMmap::from_regions(vec![range.region().unwrap()]).unwrap();
        drop(memory.read_obj::<u8>(GuestAddress(0x1000)));
    }

    #[test]
    fn a_guest_that_names_missing_memory_ends_its_vmm_with_a_reason() {
        let victim = "fault::tests::touches_memory_that_is_not_there";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", victim, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("memory that it has not got"), "{said}");
    }
}
