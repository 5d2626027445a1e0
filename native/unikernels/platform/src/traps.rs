// SPDX-License-Identifier: Apache-2.0
//! Exceptions. None is expected, so each is a panic that says which and where.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::size_of;

const VECTORS: usize = 32;
/// Bytes between two stubs.
const STUB_SIZE: u64 = 16;
/// Exceptions that push an error code below the return address.
const WITH_ERROR_CODE: u32 = (1 << 8) | 0x7c00 | (1 << 17) | (1 << 21) | (1 << 29) | (1 << 30);
const CODE_SELECTOR: u16 = 8;
/// Present, 64-bit interrupt gate.
const INTERRUPT_GATE: u16 = 0x8e00;

global_asm!(
    ".pushsection .text",
    ".balign 16",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 32",
    ".balign 16",
    "mov edi, vector",
    "jmp trap_common",
    ".set vector, vector + 1",
    ".endr",
    "trap_common:",
    "mov rsi, [rsp]",
    "mov rdx, [rsp + 8]",
    "mov rcx, cr2",
    "and rsp, -16",
    "call unikernel_trap",
    "ud2",
    ".popsection",
);

unsafe extern "C" {
    static trap_stubs: [u8; 0];
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    offset_low: u16,
    selector: u16,
    attributes: u16,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

const NO_GATE: Gate = Gate {
    offset_low: 0,
    selector: 0,
    attributes: 0,
    offset_middle: 0,
    offset_high: 0,
    reserved: 0,
};

#[repr(C, align(16))]
struct Table(UnsafeCell<[Gate; VECTORS]>);

// SAFETY: written once, by the only vCPU, before the processor reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([NO_GATE; VECTORS]));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Lets the processor find the stubs.
pub(crate) fn install() {
    let stubs = &raw const trap_stubs as u64;
    let gates: [Gate; VECTORS] = core::array::from_fn(|vector| {
        let address = stubs + vector as u64 * STUB_SIZE;
        Gate {
            offset_low: address as u16,
            selector: CODE_SELECTOR,
            attributes: INTERRUPT_GATE,
            offset_middle: (address >> 16) as u16,
            offset_high: (address >> 32) as u32,
            reserved: 0,
        }
    });
    // SAFETY: see `Sync`; no reference to the table exists.
    unsafe { TABLE.0.get().write(gates) };
    let pointer = TablePointer {
        limit: (size_of::<[Gate; VECTORS]>() - 1) as u16,
        base: TABLE.0.get() as u64,
    };
    // SAFETY: the table is complete and lives for ever.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
}

/// Called by the stubs with the two topmost words of the exception's stack frame.
#[unsafe(no_mangle)]
extern "C" fn unikernel_trap(vector: u32, first: u64, second: u64, fault_address: u64) -> ! {
    let with_error_code = (WITH_ERROR_CODE >> vector) & 1 == 1;
    let (error, address) = if with_error_code {
        (first, second)
    } else {
        (0, first)
    };
    panic!("exception {vector} at {address:#x}: error {error:#x}, address {fault_address:#x}");
}
