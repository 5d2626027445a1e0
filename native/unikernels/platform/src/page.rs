// SPDX-License-Identifier: Apache-2.0
//! A page that someone else reads and writes too.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Bytes of a page.
const PAGE_SIZE: usize = 4096;

mod sealed {
    pub trait Sealed {}
}

/// What can be loaded and stored whole.
pub trait Word: Copy + sealed::Sealed {
    #[doc(hidden)]
    type Cell;
    #[doc(hidden)]
    fn load(cell: &Self::Cell) -> Self;
    #[doc(hidden)]
    fn store(cell: &Self::Cell, value: Self);
}

macro_rules! word {
    ($($word:ty => $cell:ty),*) => {$(
        impl sealed::Sealed for $word {}
        impl Word for $word {
            type Cell = $cell;
            fn load(cell: &$cell) -> Self {
                cell.load(Ordering::Acquire)
            }
            fn store(cell: &$cell, value: Self) {
                cell.store(value, Ordering::Release);
            }
        }
    )*};
}
word!(u8 => AtomicU8, u16 => AtomicU16, u32 => AtomicU32, u64 => AtomicU64);

/// A page outside the image. Loads acquire and stores release, each of a naturally aligned word.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    address: NonNull<u8>,
}

// SAFETY: all access is by atomics.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// The page at a guest-physical address. `None` when that is not the start of a page, is the first
    /// page, is not mapped (above 4 GiB), or belongs to the image.
    #[cfg(feature = "bare")]
    pub fn at(address: u64) -> Option<Self> {
        unsafe extern "C" {
            static image_start: [u8; 0];
            static image_end: [u8; 0];
        }
        let image = &raw const image_start as u64..&raw const image_end as u64;
        let aligned = address % PAGE_SIZE as u64 == 0;
        if !aligned || address >> 32 != 0 || image.contains(&address) {
            return None;
        }
        NonNull::new(address as *mut u8).map(|address| Self { address })
    }

    /// No address leads anywhere in a program that runs on an operating system.
    #[cfg(not(feature = "bare"))]
    pub fn at(_address: u64) -> Option<Self> {
        None
    }

    /// A page that a test has made.
    ///
    /// # Safety
    ///
    /// 4096 bytes, aligned so, valid for as long as the page is used, never reached but by atomics.
    pub unsafe fn from_raw(address: NonNull<u8>) -> Self {
        Self { address }
    }

    /// Reads the word at an offset.
    ///
    /// # Panics
    ///
    /// The word does not lie in the page, or is not aligned.
    pub fn load<W: Word>(&self, offset: usize) -> W {
        W::load(self.cell::<W>(offset))
    }

    /// Writes the word at an offset.
    ///
    /// # Panics
    ///
    /// As for [`Self::load`].
    pub fn store<W: Word>(&self, offset: usize, value: W) {
        W::store(self.cell::<W>(offset), value);
    }

    /// Clears bits of a word and returns what it was before.
    ///
    /// # Panics
    ///
    /// As for [`Self::load`].
    pub(crate) fn clear_bits(&self, offset: usize, bits: u64) -> u64 {
        self.cell::<u64>(offset).fetch_and(!bits, Ordering::AcqRel)
    }

    fn cell<W: Word>(&self, offset: usize) -> &W::Cell {
        let size = size_of::<W>();
        assert!(
            offset % size == 0 && offset + size <= PAGE_SIZE,
            "not a word of a page"
        );
        // SAFETY: inside the page by the check above, and aligned as the page is.
        let cell = unsafe { self.address.as_ptr().add(offset) }.cast::<W::Cell>();
        // SAFETY: an atomic has the size and, on this processor, the alignment of its word; whoever
        // made the page promises that nobody has a reference to plain memory in it.
        unsafe { &*cell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4096))]
    struct Memory([AtomicU64; 512]);

    fn page() -> Page {
        static MEMORY: Memory = Memory([const { AtomicU64::new(0) }; 512]);
        // SAFETY: static, aligned, atomic.
        unsafe { Page::from_raw(NonNull::from(&MEMORY.0).cast()) }
    }

    #[test]
    fn words_are_little_endian_parts_of_each_other() {
        let page = page();
        page.store(8, 0x1122_3344_5566_7788_u64);
        assert_eq!(page.load::<u32>(12), 0x1122_3344);
        assert_eq!(page.load::<u8>(8), 0x88);
        assert_eq!(page.clear_bits(8, 0xff), 0x1122_3344_5566_7788);
        assert_eq!(page.load::<u16>(8), 0x7700);
    }

    #[test]
    #[should_panic(expected = "not a word")]
    fn the_end_of_the_page_is_the_end() {
        page().load::<u64>(4096);
    }

    #[test]
    #[should_panic(expected = "not a word")]
    fn words_are_aligned() {
        page().load::<u32>(2);
    }
}
