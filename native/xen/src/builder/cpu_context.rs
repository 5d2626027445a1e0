// SPDX-License-Identifier: Apache-2.0
//! The vCPUs' first state, as a sequence of save records (public/hvm/save.h,
//! public/arch-x86/hvm/save.h).
//!
//! The BSP starts as the PVH boot protocol wants it: 32-bit protected mode, paging off, flat
//! segments, EBX pointing to start_info. The other vCPUs wait for the guest's INIT and SIPI.

use crate::fields::Fields;

const HEADER: u16 = 1;
const CPU: u16 = 2;
const MTRR: u16 = 14;
const END: u16 = 0;

const HEADER_MAGIC: u32 = 0x5438_1286;
const HEADER_VERSION: u32 = 1;

/// sizeof(struct hvm_hw_cpu) and sizeof(struct hvm_hw_mtrr), the same from 4.17 to 4.20.
const CPU_SIZE: usize = 1032;
const MTRR_SIZE: usize = 240;

/// The PAT after reset: WB, WT, UC-, UC, twice.
const PAT_RESET: u64 = 0x0007_0406_0007_0406;
/// Eight variable ranges, fixed ranges, write-combining.
const MTRR_CAPABILITIES: u64 = 8 | (1 << 8) | (1 << 10);
/// MTRRs are on, and what they do not name is write-back: there is no device memory.
const MTRR_DEFAULT: u64 = (1 << 11) | 6;

/// CR0.PE and CR0.ET.
const CR0: u64 = (1 << 0) | (1 << 4);
/// Bit 1 always reads as one.
const RFLAGS: u64 = 1 << 1;
const DR6_RESET: u64 = 0xffff_0ff0;
const DR7_RESET: u64 = 0x400;

/// Segment attributes: present, accessed, 32 bits, page granularity, code or data.
const CODE: u32 = 0xc9b;
const DATA: u32 = 0xc93;
/// A busy 32-bit task.
const TASK: u32 = 0x8b;
const FLAT: u32 = 0xffff_ffff;
const TASK_LIMIT: u32 = 0x67;

/// Records for all vCPUs; the BSP's is last, as it brings the BSP up. `signature` is EAX of CPUID's
/// leaf 1: Xen grumbles in its log when it is not the machine's.
pub(crate) fn cpu_context(vcpus: u32, signature: u32, entry: u64, start_info: u64) -> Vec<u8> {
    let header = Fields::new()
        .u32(HEADER_MAGIC)
        .u32(HEADER_VERSION)
        .u64(0) // changeset
        .u32(signature)
        .u32(0) // the TSC keeps its frequency
        .build();
    let mut context = record(HEADER, 0, &header);
    for vcpu in 0..vcpus {
        context.extend(record(MTRR, vcpu as u16, &mtrr()));
    }
    context.extend(record(CPU, 0, &boot_processor(entry, start_info)));
    context.extend(record(END, 0, &[]));
    context
}

/// struct hvm_save_descriptor and what it describes.
fn record(kind: u16, instance: u16, content: &[u8]) -> Vec<u8> {
    Fields::new()
        .u16(kind)
        .u16(instance)
        .u32(content.len() as u32)
        .bytes(content)
        .build()
}

/// struct hvm_hw_mtrr.
fn mtrr() -> Vec<u8> {
    Fields::new()
        .u64(PAT_RESET)
        .padded_to(MTRR_SIZE - 16) // no variable, no fixed ranges
        .u64(MTRR_CAPABILITIES)
        .u64(MTRR_DEFAULT)
        .build()
}

/// struct hvm_hw_cpu.
fn boot_processor(entry: u64, start_info: u64) -> Vec<u8> {
    Fields::new()
        .padded_to(520) // FPU in its initial state, RAX
        .u64(start_info) // RBX
        .padded_to(640)
        .u64(entry) // RIP
        .u64(RFLAGS)
        .u64(CR0)
        .padded_to(720)
        .u64(DR6_RESET)
        .u64(DR7_RESET)
        .padded_to(768) // null selectors
        .u32(FLAT) // limits: CS,
        .u32(FLAT) // DS,
        .u32(FLAT) // ES,
        .u32(FLAT) // FS,
        .u32(FLAT) // GS,
        .u32(FLAT) // SS,
        .u32(TASK_LIMIT) // TR
        .padded_to(888) // LDTR, IDTR and GDTR have none; all bases are 0
        .u32(CODE) // attributes: CS,
        .u32(DATA) // DS,
        .u32(DATA) // ES,
        .u32(DATA) // FS,
        .u32(DATA) // GS,
        .u32(DATA) // SS,
        .u32(TASK) // TR
        .padded_to(CPU_SIZE) // no LDTR, MSRs at reset, no pending event
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{u32_at, u64_at};

    #[test]
    fn the_boot_processor_starts_where_the_protocol_says() {
        let cpu = boot_processor(0x2000, 0x1000);
        assert_eq!(cpu.len(), CPU_SIZE);
        assert_eq!(u64_at(&cpu, 520), 0x1000); // rbx
        assert_eq!(u64_at(&cpu, 640), 0x2000); // rip
        assert_eq!(u64_at(&cpu, 656), 0x11); // cr0
        assert_eq!(u64_at(&cpu, 728), 0x400); // dr7
        assert_eq!(u32_at(&cpu, 792), 0x67); // tr_limit
        assert_eq!(u32_at(&cpu, 888), 0xc9b); // cs_arbytes
        assert_eq!(u32_at(&cpu, 912), 0x8b); // tr_arbytes
        assert_eq!(u32_at(&cpu, 1024), 0); // flags: FPU not initialised
    }

    #[test]
    fn mtrr_records_have_the_headers_size() {
        let mtrr = mtrr();
        assert_eq!(mtrr.len(), MTRR_SIZE);
        assert_eq!(u64_at(&mtrr, 232), MTRR_DEFAULT);
    }

    #[test]
    fn records_follow_each_other_to_the_end_mark() {
        let context = cpu_context(3, 0x663, 0x2000, 0x1000);
        let mut offset = 0;
        let mut kinds = Vec::new();
        while offset < context.len() {
            kinds.push((
                u16::from_le_bytes([context[offset], context[offset + 1]]),
                context[offset + 2],
            ));
            offset += 8 + u32_at(&context, offset + 4) as usize;
        }
        assert_eq!(offset, context.len());
        assert_eq!(
            kinds,
            [
                (HEADER, 0),
                (MTRR, 0),
                (MTRR, 1),
                (MTRR, 2),
                (CPU, 0),
                (END, 0)
            ]
        );
    }

    #[test]
    fn the_largest_domain_fits_one_call() {
        assert!(cpu_context(64, 0, 0, 0).len() <= crate::hypercall::BUFFER_SIZE / 2);
    }
}
