// SPDX-License-Identifier: Apache-2.0
//! From PVH's entry point to Rust.
//!
//! Xen starts the vCPU in 32-bit protected mode without paging, EBX pointing to `hvm_start_info`
//! (docs/misc/pvh.pandoc). We map the lowest 4 GiB to themselves with pages of 2 MiB, switch to long
//! mode, allow SSE (Rust's code for this target uses it) and call `unikernel_main`.

use core::arch::global_asm;

use crate::start_info::StartInfo;
use crate::{hypercall, traps};

/// Bytes of the only stack.
const STACK_SIZE: usize = 32 * 1024;

global_asm!(
    // XEN_ELFNOTE_PHYS32_ENTRY: the address of the entry point.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_start",
    ".popsection",

    ".pushsection .bss.pages, \"aw\", @nobits",
    ".balign 4096",
    "page_map: .skip 4096",
    "page_directory_pointers: .skip 4096",
    "page_directories: .skip 4 * 4096",
    "stack: .skip {stack_size}",
    "stack_end:",
    ".popsection",

    // Null, 64-bit code. In long mode nothing else is looked at.
    ".pushsection .rodata",
    ".balign 8",
    "descriptors: .quad 0, 0x00af9a000000ffff",
    "descriptors_end:",
    "descriptors_pointer: .word descriptors_end - descriptors - 1",
    ".long descriptors, 0",
    ".popsection",

    ".pushsection .text.entry, \"ax\"",
    ".code32",
    ".globl pvh_start",
    "pvh_start:",
    "cld",
    "mov esp, offset stack_end",
    // Present, writable, 2 MiB; the upper halves of the entries are zero.
    "mov edi, offset page_directories",
    "mov eax, 0x83",
    "mov ecx, 4 * 512",
    "2: mov [edi], eax",
    "add eax, 0x200000",
    "add edi, 8",
    "dec ecx",
    "jnz 2b",
    "mov edi, offset page_directory_pointers",
    "mov eax, offset page_directories + 3",
    "mov ecx, 4",
    "3: mov [edi], eax",
    "add eax, 4096",
    "add edi, 8",
    "dec ecx",
    "jnz 3b",
    "mov eax, offset page_directory_pointers + 3",
    "mov edi, offset page_map",
    "mov [edi], eax",
    "mov cr3, edi",
    // CR4: PAE, OSFXSR, OSXMMEXCPT.
    "mov eax, 0x620",
    "mov cr4, eax",
    // EFER.LME
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    // CR0: PG, WP, NE, ET, MP, PE.
    "mov eax, 0x80010033",
    "mov cr0, eax",
    "mov eax, offset descriptors_pointer",
    "lgdt [eax]",
    "push 8",
    "mov eax, offset long_mode",
    "push eax",
    "retf",
    ".code64",
    "long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov esp, offset stack_end",
    "mov edi, ebx",
    "call unikernel_main",
    "ud2",
    ".popsection",
    stack_size = const STACK_SIZE,
);

/// The first thing that `unikernel_main` calls, with what the entry point has left in EBX. From here on
/// hypercalls work and a fault is a panic.
pub fn start(start_info: u64) -> StartInfo {
    hypercall::choose_instruction();
    traps::install();
    // SAFETY: the builder of the domain has put it there and nothing has been written since.
    unsafe { StartInfo::read(start_info) }
}
