// SPDX-License-Identifier: Apache-2.0
//! Memory that devices reach too: pages of the image, at their own addresses.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// What one network card takes, and a few pages more.
const PAGES: usize = 16;

#[repr(align(4096))]
struct Pool(UnsafeCell<[[u8; PAGE_SIZE]; PAGES]>);

// SAFETY: each page is given out once, so no two owners meet.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([[0; PAGE_SIZE]; PAGES]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Memory for the devices of a unikernel. Drivers live as long as it does, so nothing is taken back.
#[derive(Debug)]
pub struct ImageMemory;

// SAFETY: pages are page-aligned, zero as the builder of the domain has left them, and given out once.
// Addresses are physical ones, so sharing a buffer takes nothing.
unsafe impl Hal for ImageMemory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = TAKEN.fetch_add(pages, Ordering::Relaxed);
        assert!(first + pages <= PAGES, "no memory for devices is left");
        let start = POOL.0.get().cast::<u8>().wrapping_add(first * PAGE_SIZE);
        let start = NonNull::new(start).expect("the image does not lie at 0");
        (start.as_ptr() as u64, start)
    }

    unsafe fn dma_dealloc(_address: PhysAddr, _start: NonNull<u8>, _pages: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_address: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("only PCI has it")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as u64
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
