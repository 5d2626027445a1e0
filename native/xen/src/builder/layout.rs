// SPDX-License-Identifier: Apache-2.0
//! Where everything lies in the guest's physical memory.
//!
//! ```text
//!  0x0000_1000  start_info, module list, memory map      ┐ read once, at the very start
//!  0x0000_2000  trampoline: where the BSP starts         │
//!  0x0000_3000  command line                             ┘
//!  0x0009_f000  reserved: BIOS area; MP table at 0xf0000
//!  0x0010_0000  RAM: the kernel where its ELF file says, the ramdisk at the end
//!     …         noxs region   ┐ the last pages below 3 GiB, reserved
//!     …         console ring  ┘
//!  0xc000_0000  nothing; the local APIC at 0xfee0_0000
//!  0x1_0000_0000 the RAM that did not fit below 3 GiB
//! ```

use std::ops::Range;

use crate::memory::{MemoryKind, MemoryMapEntry};

pub(crate) const PAGE_SIZE: u64 = 4096;

pub(crate) const START_INFO: u64 = 0x1000;
pub(crate) const TRAMPOLINE: u64 = 0x2000;
pub(crate) const COMMAND_LINE: u64 = 0x3000;
/// Linux scans the BIOS area for its floating pointer.
pub(crate) const MP_TABLE: u64 = 0xf_0000;

/// The page below 640 KiB that a BIOS keeps for itself, to 1 MiB.
const BIOS_AREA: Range<u64> = 0x9_f000..0x10_0000;
/// End of RAM below the hole for the local APIC, and where it goes on.
const LOW_END: u64 = 3 << 30;
const HIGH_START: u64 = 4 << 30;

/// The least that boot data, special pages and any kernel need.
pub(crate) const MIN_MEMORY: u64 = 8 << 20;
/// More than any Xen machine has; keeps the arithmetic in range.
pub(crate) const MAX_MEMORY: u64 = 16 << 40;

/// The guest-physical address map of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All memory that the domain has.
    pub(crate) memory: Vec<Range<u64>>,
    /// The noxs region: the device page and a control page for each slot.
    pub(crate) noxs: Range<u64>,
    /// Address of the console ring's page.
    pub(crate) console: u64,
}

impl Layout {
    /// Lays out `memory_bytes`, which is a multiple of the page size from MIN_MEMORY to MAX_MEMORY.
    pub(crate) fn new(memory_bytes: u64, device_slots: u32) -> Self {
        let low_end = memory_bytes.min(LOW_END);
        let console = low_end - PAGE_SIZE;
        let region_size = (1 + u64::from(device_slots)) * PAGE_SIZE;
        let low = 0..low_end;
        let high = HIGH_START..HIGH_START + (memory_bytes - low_end);
        Self {
            memory: [low, high]
                .into_iter()
                .filter(|range| !range.is_empty())
                .collect(),
            noxs: console - region_size..console,
            console,
        }
    }

    /// Where a kernel and its ramdisk may lie.
    pub(crate) fn loadable(&self) -> Range<u64> {
        BIOS_AREA.end..self.noxs.start
    }

    /// What the guest is told of its memory.
    pub(crate) fn memory_map(&self) -> Vec<MemoryMapEntry> {
        let ram = MemoryKind::Ram;
        let special = self.noxs.start..self.console + PAGE_SIZE;
        let mut map = vec![
            entry(0..BIOS_AREA.start, ram),
            entry(BIOS_AREA, MemoryKind::Reserved),
            entry(self.loadable(), ram),
            entry(special, MemoryKind::Reserved),
        ];
        map.extend(
            self.memory
                .iter()
                .skip(1)
                .map(|high| entry(high.clone(), ram)),
        );
        map
    }
}

fn entry(range: Range<u64>, kind: MemoryKind) -> MemoryMapEntry {
    MemoryMapEntry {
        address: range.start,
        size: range.end - range.start,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_covers_all_memory(layout: &Layout) {
        let mut end = 0;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for entry in layout.memory_map() {
            assert!(
                entry.address >= end,
                "entries are in order and do not overlap"
            );
            end = entry.address + entry.size;
            match ranges.last_mut() {
                Some(last) if last.end == entry.address => last.end = end,
                _ => ranges.push(entry.address..end),
            }
        }
        assert_eq!(ranges, layout.memory);
    }

    #[test]
    fn small_memory_is_one_range_with_the_special_pages_at_its_end() {
        let layout = Layout::new(64 << 20, 63);
        assert!(layout.memory.iter().eq([&(0..64 << 20)]));
        assert_eq!(layout.console, (64 << 20) - 4096);
        assert_eq!(layout.noxs, (64 << 20) - 65 * 4096..(64 << 20) - 4096);
        assert_covers_all_memory(&layout);
    }

    #[test]
    fn large_memory_goes_on_above_the_hole() {
        let layout = Layout::new(5 << 30, 1);
        assert_eq!(layout.memory, [0..3 << 30, 4 << 30..6 << 30]);
        assert!(layout.console < 3 << 30);
        assert_covers_all_memory(&layout);
    }

    #[test]
    fn exactly_the_low_range_has_no_empty_high_one() {
        assert!(Layout::new(3 << 30, 1).memory.iter().eq([&(0..3 << 30)]));
    }
}
