// SPDX-License-Identifier: Apache-2.0
//! Pages at the addresses 0, 0x1000, … of each test's own.
#![allow(unsafe_code)]

extern crate std;

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use std::boxed::Box;
use std::cell::Cell;
use std::thread_local;

use unikernel_platform::Page;

pub(crate) const PAGES: usize = 3;

#[repr(align(4096))]
struct Memory([AtomicU64; 512]);

thread_local! {
    static CURRENT: Cell<Option<[Page; PAGES]>> = const { Cell::new(None) };
}

/// New pages, all zeros.
pub(crate) fn reset() -> [Page; PAGES] {
    let pages = core::array::from_fn(|_| {
        let memory = Box::leak(Box::new(Memory([const { AtomicU64::new(0) }; 512])));
        // SAFETY: leaked, aligned, atomic.
        unsafe { Page::from_raw(NonNull::from(&memory.0).cast()) }
    });
    CURRENT.set(Some(pages));
    pages
}

/// The page at an address.
pub(crate) fn page_at(address: u64) -> Option<Page> {
    let index = usize::try_from(address / 4096).ok()?;
    CURRENT
        .get()?
        .get(index)
        .filter(|_| address % 4096 == 0)
        .copied()
}
