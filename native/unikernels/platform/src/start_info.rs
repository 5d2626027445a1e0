// SPDX-License-Identifier: Apache-2.0
//! What the builder of the domain says to it: struct hvm_start_info (public/arch-x86/hvm/start_info.h).

use core::slice;
use core::str;

/// First word of the structure.
const MAGIC: u32 = 0x336e_c578;
/// Longest command line that is read, in bytes.
const MAX_COMMAND_LINE: usize = 4096;
/// Entries of the memory map that are read.
const MAX_ENTRIES: u32 = 64;
/// Above this nothing is mapped.
const MAPPED: u64 = 1 << 32;
const PAGE_SIZE: u64 = 4096;

/// The structure up to version 1.
#[repr(C)]
struct Layout {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    entry_count: u32,
    reserved: u32,
}

/// struct hvm_memmap_table_entry
#[repr(C)]
#[derive(Clone, Copy)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// The command line, and where memory ends.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    command_line: &'static str,
    end_of_memory: u64,
}

impl StartInfo {
    /// Reads what is at this address. A structure that is none says nothing.
    ///
    /// # Safety
    ///
    /// It is the address that the entry point was given, and what is there is not written to, ever.
    pub unsafe fn read(address: u64) -> Self {
        let nothing = Self {
            command_line: "",
            end_of_memory: 0,
        };
        // SAFETY: the caller promises it; the builder aligns the structure to its page.
        let info = unsafe { &*(address as *const Layout) };
        if info.magic != MAGIC || info.version < 1 || info.memory_map == 0 {
            return nothing;
        }
        let count = info.entry_count.min(MAX_ENTRIES) as usize;
        // SAFETY: the builder has put so many entries there, 8-aligned behind the structure.
        let map = unsafe { slice::from_raw_parts(info.memory_map as *const MapEntry, count) };
        Self {
            // SAFETY: the builder ends the line with a zero byte, in a page of its own.
            command_line: unsafe { read_text(info.command_line) },
            end_of_memory: end_of_memory(map),
        }
    }

    /// The command line; what follows a byte that is no ASCII text is cut off.
    pub fn command_line(&self) -> &'static str {
        self.command_line
    }

    /// Address of the first free page behind all memory below 4 GiB.
    pub fn end_of_memory(&self) -> u64 {
        self.end_of_memory
    }
}

/// # Safety
///
/// Zero, or the address of a text that ends with a zero byte and never changes.
unsafe fn read_text(address: u64) -> &'static str {
    if address == 0 {
        return "";
    }
    let start = address as *const u8;
    let mut length = 0;
    while length < MAX_COMMAND_LINE {
        // SAFETY: all bytes before this one were text, so the end has not come yet.
        let byte = unsafe { start.wrapping_add(length).read() };
        if !(b' '..=b'~').contains(&byte) {
            break;
        }
        length += 1;
    }
    // SAFETY: so many bytes were just read.
    str::from_utf8(unsafe { slice::from_raw_parts(start, length) }).unwrap_or_default()
}

fn end_of_memory(map: &[MapEntry]) -> u64 {
    let ends = map
        .iter()
        .map(|entry| entry.address.saturating_add(entry.size));
    let end = ends.filter(|end| *end < MAPPED).max().unwrap_or(0);
    end.next_multiple_of(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: u64, size: u64) -> MapEntry {
        MapEntry {
            address,
            size,
            kind: 1,
            reserved: 0,
        }
    }

    #[test]
    fn memory_above_the_hole_is_not_its_end() {
        let map = [
            entry(0, 0x9_f000),
            entry(0x10_0000, 0xbff0_0000),
            entry(1 << 32, 1 << 30),
        ];
        assert_eq!(end_of_memory(&map), 0xc000_0000);
        assert_eq!(end_of_memory(&map[..1]), 0x9_f000);
    }

    #[test]
    fn what_the_builder_wrote_is_read() {
        let map = [entry(0, 0x80_0000)];
        let mut info = Layout {
            magic: MAGIC,
            version: 1,
            flags: 0,
            module_count: 0,
            modules: 0,
            command_line: c"noxs=0x1000 word\n".as_ptr() as u64,
            rsdp: 0,
            memory_map: map.as_ptr() as u64,
            entry_count: 1,
            reserved: 0,
        };
        let read = |info: &Layout| {
            // SAFETY: nothing of it changes while it is read.
            unsafe { StartInfo::read(&raw const *info as u64) }
        };
        let good = read(&info);
        assert_eq!(
            (good.command_line(), good.end_of_memory()),
            ("noxs=0x1000 word", 0x80_0000)
        );
        info.magic = 0;
        assert_eq!(read(&info).command_line(), "");
    }
}
