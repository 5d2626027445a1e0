// SPDX-License-Identifier: Apache-2.0
//! Where everything lies in the guest's physical memory.
//!
//! ```text
//!  0x0000_1000  start_info, module list, memory map      ┐ read once, at the very start
//!  0x0000_2000  trampoline: where the BSP starts         │
//!  0x0000_3000  command line                             ┘
//!  0x0009_f000  reserved: BIOS area; MP table at 0xf0000
//!  0x0010_0000  RAM: the kernel where its ELF file says, the ramdisk at the end
//!     …         noxs region   ┐ the last pages of what is there from the start, at most
//!     …         console ring  ┘ 3 GiB; reserved
//!     …         RAM that the guest asks Xen for when it needs it
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
pub(crate) const MIN_MEMORY: u64 = 2 << 20;
/// More than any Xen machine has; keeps the arithmetic in range.
pub(crate) const MAX_MEMORY: u64 = 16 << 40;

/// The guest-physical address map of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All memory that the domain may have.
    pub(crate) memory: Vec<Range<u64>>,
    /// End of the memory that it has from the start, which is [`Self::memory`] up to there.
    pub(crate) initial_end: u64,
    /// The noxs region: the device page and a control page for each slot.
    pub(crate) noxs: Range<u64>,
    /// Address of the console ring's page.
    pub(crate) console: u64,
}

impl Layout {
    /// Lays out `memory_bytes`, of which the domain has `initial_bytes` from the start: multiples
    /// of the page size from MIN_MEMORY to MAX_MEMORY.
    pub(crate) fn new(memory_bytes: u64, initial_bytes: u64, device_slots: u32) -> Self {
        let low_end = memory_bytes.min(LOW_END);
        let initial_low_end = initial_bytes.min(LOW_END);
        let initial_end = if initial_bytes > LOW_END {
            HIGH_START + (initial_bytes - LOW_END)
        } else {
            initial_bytes
        };
        let console = initial_low_end - PAGE_SIZE;
        let region_size = (1 + u64::from(device_slots)) * PAGE_SIZE;
        let low = 0..low_end;
        let high = HIGH_START..HIGH_START + (memory_bytes - low_end);
        Self {
            memory: [low, high]
                .into_iter()
                .filter(|range| !range.is_empty())
                .collect(),
            initial_end,
            noxs: console - region_size..console,
            console,
        }
    }

    /// Where a kernel and its ramdisk may lie.
    pub(crate) fn loadable(&self) -> Range<u64> {
        BIOS_AREA.end..self.noxs.start
    }

    /// The parts of the memory that lie in `window`.
    pub(crate) fn memory_in(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let clip =
            move |range: &Range<u64>| range.start.max(window.start)..range.end.min(window.end);
        self.memory
            .iter()
            .map(clip)
            .filter(|range| !range.is_empty())
    }

    /// End of all memory that the domain may have.
    pub(crate) fn end(&self) -> u64 {
        self.memory.last().map_or(0, |range| range.end)
    }

    /// What the guest is told of its memory.
    pub(crate) fn memory_map(&self) -> Vec<MemoryMapEntry> {
        let ram = MemoryKind::Ram;
        let special = self.noxs.start..self.console + PAGE_SIZE;
        let low_end = self.memory.first().map_or(0, |low| low.end);
        let mut map = vec![
            entry(0..BIOS_AREA.start, ram),
            entry(BIOS_AREA, MemoryKind::Reserved),
            entry(self.loadable(), ram),
            entry(special.clone(), MemoryKind::Reserved),
        ];
        if special.end < low_end {
            map.push(entry(special.end..low_end, ram));
        }
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
        let layout = Layout::new(64 << 20, 64 << 20, 63);
        assert_eq!(layout.initial_end, 64 << 20);
        assert!(layout.memory.iter().eq([&(0..64 << 20)]));
        assert_eq!(layout.console, (64 << 20) - 4096);
        assert_eq!(layout.noxs, (64 << 20) - 65 * 4096..(64 << 20) - 4096);
        assert_covers_all_memory(&layout);
    }

    #[test]
    fn large_memory_goes_on_above_the_hole() {
        let layout = Layout::new(5 << 30, 5 << 30, 1);
        assert_eq!(layout.memory, [0..3 << 30, 4 << 30..6 << 30]);
        assert!(layout.console < 3 << 30);
        assert_covers_all_memory(&layout);
    }

    #[test]
    fn exactly_the_low_range_has_no_empty_high_one() {
        assert!(
            Layout::new(3 << 30, 3 << 30, 1)
                .memory
                .iter()
                .eq([&(0..3 << 30)])
        );
    }

    #[test]
    fn what_is_not_there_yet_lies_behind_the_special_pages() {
        let layout = Layout::new(64 << 20, 20 << 20, 7);
        assert_eq!(layout.console, (20 << 20) - 4096);
        assert_eq!(layout.initial_end, 20 << 20);
        assert_eq!(layout.loadable().end, layout.noxs.start);
        assert_covers_all_memory(&layout);
        let later = layout.memory_in(layout.initial_end..layout.end());
        assert_eq!(
            later.collect::<Vec<_>>().first(),
            Some(&(20 << 20..64 << 20))
        );
    }

    #[test]
    fn growth_goes_round_the_hole() {
        let layout = Layout::new(5 << 30, 1 << 30, 7);
        assert_covers_all_memory(&layout);
        let later: Vec<_> = layout.memory_in(layout.initial_end..layout.end()).collect();
        assert_eq!(later, [1 << 30..3 << 30, 4 << 30..6 << 30]);
        let most = Layout::new(5 << 30, 4 << 30, 7);
        assert_eq!(most.initial_end, 5 << 30);
        assert!(most.console < 3 << 30);
        assert_covers_all_memory(&most);
    }
}
