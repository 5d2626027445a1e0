// SPDX-License-Identifier: Apache-2.0
//! The MultiProcessor Specification's table (version 1.4): how the guest finds its vCPUs without
//! ACPI. There is no I/O APIC and no device interrupt; everything arrives as Xen events.

use crate::fields::Fields;

const REVISION_1_4: u8 = 4;
const LOCAL_APIC_ADDRESS: u32 = 0xfee0_0000;
/// Version register of Xen's emulated local APIC (integrated APIC, 4.2 of the specification).
const LOCAL_APIC_VERSION: u8 = 0x14;

const FLOATING_POINTER_SIZE: u64 = 16;
const HEADER_SIZE: usize = 44;

const PROCESSOR: u8 = 0;
const BUS: u8 = 1;
const IO_INTERRUPT: u8 = 3;
const LOCAL_INTERRUPT: u8 = 4;

const PROCESSOR_ENABLED: u8 = 1 << 0;
const PROCESSOR_BSP: u8 = 1 << 1;

const INTERRUPT_NMI: u8 = 1;
const INTERRUPT_EXTERNAL: u8 = 3;
const ALL_LOCAL_APICS: u8 = 0xff;
/// An id that no I/O APIC has, as there is none.
const NO_IO_APIC: u8 = 0xfe;

/// Xen numbers the local APICs by twos, as if each core had an unused sibling thread.
pub(crate) fn apic_id(vcpu: u32) -> u32 {
    2 * vcpu
}

/// The floating pointer structure and the table behind it, to be put at `address`. At most 127
/// vCPUs have APIC ids that fit.
pub(crate) fn mp_table(address: u64, vcpus: u32) -> Vec<u8> {
    let table = configuration_table(vcpus);
    let pointer = Fields::new()
        .bytes(b"_MP_")
        .u32((address + FLOATING_POINTER_SIZE) as u32)
        .u8(1) // length in units of 16 bytes
        .u8(REVISION_1_4)
        .u8(0) // checksum
        .padded_to(FLOATING_POINTER_SIZE as usize)
        .build();
    let mut bytes = with_checksum(pointer, 10);
    bytes.extend(table);
    bytes
}

fn configuration_table(vcpus: u32) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = (0..vcpus).map(processor).collect();
    entries.push(Fields::new().u8(BUS).u8(0).bytes(b"ISA   ").build());
    // Linux takes a table without an I/O interrupt for a broken one, and makes some up.
    entries.push(interrupt(IO_INTERRUPT, INTERRUPT_EXTERNAL, NO_IO_APIC, 0));
    entries.push(interrupt(LOCAL_INTERRUPT, INTERRUPT_EXTERNAL, 0, 0));
    entries.push(interrupt(
        LOCAL_INTERRUPT,
        INTERRUPT_NMI,
        ALL_LOCAL_APICS,
        1,
    ));
    let size = HEADER_SIZE + entries.iter().map(Vec::len).sum::<usize>();
    let header = Fields::new()
        .bytes(b"PCMP")
        .u16(size as u16)
        .u8(REVISION_1_4)
        .u8(0) // checksum
        .bytes(b"LIGHTVM ") // OEM
        .bytes(b"POD         ") // product
        .u32(0) // OEM table
        .u16(0) // its size
        .u16(entries.len() as u16)
        .u32(LOCAL_APIC_ADDRESS)
        .u32(0) // no extended table
        .build();
    let mut table = header;
    table.extend(entries.concat());
    with_checksum(table, 7)
}

fn processor(vcpu: u32) -> Vec<u8> {
    let bsp = if vcpu == 0 { PROCESSOR_BSP } else { 0 };
    // Signature and features are for processors without CPUID.
    Fields::new()
        .u8(PROCESSOR)
        .u8(apic_id(vcpu) as u8)
        .u8(LOCAL_APIC_VERSION)
        .u8(PROCESSOR_ENABLED | bsp)
        .padded_to(20)
        .build()
}

fn interrupt(entry: u8, kind: u8, apic: u8, pin: u8) -> Vec<u8> {
    // Polarity and trigger conform to the bus; source is bus 0, interrupt 0.
    Fields::new()
        .u8(entry)
        .u8(kind)
        .u16(0)
        .u8(0)
        .u8(0)
        .u8(apic)
        .u8(pin)
        .build()
}

/// Makes all bytes add up to zero by the byte at `offset`, which is zero now.
fn with_checksum(mut bytes: Vec<u8>, offset: usize) -> Vec<u8> {
    let sum = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    bytes[offset] = sum.wrapping_neg();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::u32_at;

    fn sum(bytes: &[u8]) -> u8 {
        bytes
            .iter()
            .fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
    }

    #[test]
    fn the_pointer_names_the_table_behind_it() {
        let bytes = mp_table(0xf_0000, 1);
        assert_eq!(&bytes[..4], b"_MP_");
        assert_eq!(u32_at(&bytes, 4), 0xf_0010);
        assert_eq!(sum(&bytes[..16]), 0);
    }

    #[test]
    fn the_table_lists_every_vcpu_and_sums_to_zero() {
        for vcpus in [1, 2, 64] {
            let bytes = mp_table(0xf_0000, vcpus);
            let table = &bytes[16..];
            assert_eq!(&table[..4], b"PCMP");
            assert_eq!(
                usize::from(u16::from_le_bytes([table[4], table[5]])),
                table.len()
            );
            assert_eq!(sum(table), 0);
            assert_eq!(
                u32::from(u16::from_le_bytes([table[34], table[35]])),
                vcpus + 4
            );
            assert_eq!(u32_at(table, 36), LOCAL_APIC_ADDRESS);
            let last = HEADER_SIZE + 20 * (vcpus as usize - 1);
            assert_eq!(u32::from(table[last + 1]), 2 * (vcpus - 1));
        }
    }

    #[test]
    fn only_the_first_vcpu_boots() {
        let bytes = mp_table(0xf_0000, 2);
        let entries = &bytes[16 + HEADER_SIZE..];
        assert_eq!(entries[3], 3);
        assert_eq!(entries[23], 1);
    }
}
