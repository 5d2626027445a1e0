// SPDX-License-Identifier: Apache-2.0
//! The boot protocol of PVH guests: public/arch-x86/hvm/start_info.h.

use crate::fields::Fields;
use crate::memory::MemoryMapEntry;

const MAGIC: u32 = 0x336e_c578;
/// The version that has a memory map.
const VERSION: u32 = 1;

const START_INFO_SIZE: usize = 56;
const MODULE_SIZE: usize = 32;

/// A file in memory, for example the ramdisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// struct hvm_start_info with the module list and the memory map behind it, for `address`.
pub(crate) fn start_info(
    address: u64,
    command_line: u64,
    modules: &[Module],
    map: &[MemoryMapEntry],
) -> Vec<u8> {
    let module_list = address + START_INFO_SIZE.next_multiple_of(8) as u64;
    let memory_map = module_list + (modules.len() * MODULE_SIZE) as u64;
    let mut bytes = Fields::new()
        .u32(MAGIC)
        .u32(VERSION)
        .u32(0) // flags: not the initial domain
        .u32(modules.len() as u32)
        .u64(if modules.is_empty() { 0 } else { module_list })
        .u64(command_line)
        .u64(0) // no RSDP
        .u64(memory_map)
        .u32(map.len() as u32)
        .u32(0)
        .build();
    for module in modules {
        // No command line of its own.
        bytes.extend(
            Fields::new()
                .u64(module.address)
                .u64(module.size)
                .u64(0)
                .u64(0)
                .build(),
        );
    }
    for entry in map {
        let kind = entry.kind as u32;
        bytes.extend(
            Fields::new()
                .u64(entry.address)
                .u64(entry.size)
                .u32(kind)
                .u32(0)
                .build(),
        );
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{u32_at, u64_at};
    use crate::memory::MemoryKind;

    #[test]
    fn fields_lie_where_the_header_has_them() {
        let module = Module {
            address: 0x10_0000,
            size: 5,
        };
        let entry = MemoryMapEntry {
            address: 0,
            size: 0x9_f000,
            kind: MemoryKind::Ram,
        };
        let bytes = start_info(0x1000, 0x3000, &[module], &[entry, entry]);
        assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (MAGIC, 1));
        assert_eq!(u32_at(&bytes, 12), 1);
        let modules = (u64_at(&bytes, 16) - 0x1000) as usize;
        assert_eq!(u64_at(&bytes, 24), 0x3000);
        let map = (u64_at(&bytes, 40) - 0x1000) as usize;
        assert_eq!(u32_at(&bytes, 48), 2);
        assert_eq!((modules, map, bytes.len()), (56, 88, 136));
        assert_eq!(
            (u64_at(&bytes, modules), u64_at(&bytes, modules + 8)),
            (0x10_0000, 5)
        );
        assert_eq!(
            (u64_at(&bytes, map + 8), u32_at(&bytes, map + 16)),
            (0x9_f000, 1)
        );
    }

    #[test]
    fn without_modules_there_is_no_list() {
        assert_eq!(u64_at(&start_info(0x1000, 0x3000, &[], &[]), 16), 0);
    }
}
