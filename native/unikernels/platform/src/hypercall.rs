// SPDX-License-Identifier: Apache-2.0
//! The hypercalls of a unikernel. Numbers and structures are those of Xen's public headers (xen.h,
//! sched.h, event_channel.h, memory.h, hvm/hvm_op.h), which Xen never changes.

use core::arch::asm;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};

const MEMORY_OP: u64 = 12;
const SCHED_OP: u64 = 29;
const EVENT_CHANNEL_OP: u64 = 32;
const HVM_OP: u64 = 34;

const XENMEM_ADD_TO_PHYSMAP: u64 = 7;
const SCHEDOP_SHUTDOWN: u64 = 2;
const SCHEDOP_POLL: u64 = 3;
const EVTCHNOP_SEND: u64 = 4;
const HVMOP_GET_PARAM: u64 = 1;

/// XENMAPSPACE_shared_info
const SHARED_INFO_SPACE: u32 = 0;
const DOMID_SELF: u16 = 0x7ff0;

/// Intel's and AMD's processors enter the hypervisor by different instructions.
static VMMCALL: AtomicBool = AtomicBool::new(false);

/// Finds out which instruction this processor has. Must come before any hypercall.
#[cfg(feature = "bare")]
pub(crate) fn choose_instruction() {
    /// EBX of CPUID leaf 0: "Auth" (AMD) and "Hygo" (Hygon).
    const WITH_VMMCALL: [u32; 2] = [0x6874_7541, 0x6f67_7948];
    let vendor = crate::processor::cpuid(0).ebx;
    VMMCALL.store(WITH_VMMCALL.contains(&vendor), Ordering::Relaxed);
}

/// Calls Xen with a number and a structure.
///
/// # Safety
///
/// `argument` points to the structure that the call wants, and what Xen does to the domain must not
/// take away memory that Rust owns.
unsafe fn call(hypercall: u64, operation: u64, argument: *mut u8) -> i64 {
    let result: i64;
    // Xen changes RAX, and memory through the argument.
    if VMMCALL.load(Ordering::Relaxed) {
        // SAFETY: see above.
        unsafe {
            asm!("vmmcall", inout("rax") hypercall => result, inout("rdi") operation => _,
                 inout("rsi") argument => _, options(nostack));
        }
    } else {
        // SAFETY: see above.
        unsafe {
            asm!("vmcall", inout("rax") hypercall => result, inout("rdi") operation => _,
                 inout("rsi") argument => _, options(nostack));
        }
    }
    result
}

/// Why a unikernel shuts its domain down (SHUTDOWN_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ShutdownReason {
    /// Its work is done.
    Poweroff = 0,
    /// It cannot go on.
    Crash = 3,
}

/// Ends the domain.
pub fn shut_down(reason: ShutdownReason) -> ! {
    let mut reason = reason as u32;
    // SAFETY: struct sched_shutdown is one u32; Xen keeps the domain's memory.
    let _ = unsafe { call(SCHED_OP, SCHEDOP_SHUTDOWN, (&raw mut reason).cast()) };
    crate::idle_forever()
}

/// Rings an event channel. One that does not exist is nobody's to hear.
pub fn notify(port: u32) {
    let mut port = port;
    // SAFETY: struct evtchn_send is one u32.
    let _ = unsafe { call(EVENT_CHANNEL_OP, EVTCHNOP_SEND, (&raw mut port).cast()) };
}

/// Parameters of a domain (HVM_PARAM_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HvmParam {
    /// Frame of the console ring; 0 = none.
    ConsoleFrame = 17,
    /// Event channel of the console.
    ConsolePort = 18,
}

/// A parameter of this domain; 0 when Xen does not tell.
pub fn hvm_param(param: HvmParam) -> u64 {
    /// struct xen_hvm_param
    #[repr(C)]
    struct Argument {
        domid: u16,
        padding: u16,
        index: u32,
        value: u64,
    }
    let mut argument = Argument {
        domid: DOMID_SELF,
        padding: 0,
        index: param as u32,
        value: 0,
    };
    // SAFETY: the structure is the one that the call wants.
    let result = unsafe { call(HVM_OP, HVMOP_GET_PARAM, (&raw mut argument).cast()) };
    if result == 0 { argument.value } else { 0 }
}

/// Lets the shared info page appear at a frame; false when Xen refuses.
///
/// # Safety
///
/// Nothing of Rust's lies there.
pub(crate) unsafe fn map_shared_info(frame: u64) -> bool {
    /// struct xen_add_to_physmap
    #[repr(C)]
    struct Argument {
        domid: u16,
        size: u16,
        space: u32,
        index: u64,
        frame: u64,
    }
    const { assert!(size_of::<Argument>() == 24) };
    let mut argument = Argument {
        domid: DOMID_SELF,
        size: 0,
        space: SHARED_INFO_SPACE,
        index: 0,
        frame,
    };
    // SAFETY: the structure is the one that the call wants; the caller answers for the frame.
    unsafe { call(MEMORY_OP, XENMEM_ADD_TO_PHYSMAP, (&raw mut argument).cast()) == 0 }
}

/// Sleeps until one of the ports is pending or the system time has come; 0 = no time limit.
pub(crate) fn poll(ports: &[u32], deadline: u64) {
    /// struct sched_poll
    #[repr(C)]
    struct Argument {
        ports: *const u32,
        count: u32,
        deadline: u64,
    }
    let mut argument = Argument {
        ports: ports.as_ptr(),
        count: ports.len() as u32,
        deadline,
    };
    // SAFETY: the structure is the one that the call wants, and Xen only reads the ports.
    let _ = unsafe { call(SCHED_OP, SCHEDOP_POLL, (&raw mut argument).cast()) };
}
