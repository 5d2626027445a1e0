// SPDX-License-Identifier: Apache-2.0
//! Another domain's memory in this process.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use nix::libc::{self, c_void};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use vm_memory::{GuestAddress, GuestRegionMmap, MmapRegion};

use crate::error::XenError;
use crate::hypercall::{Privcmd, ioctl_code};

const PAGE_SIZE: usize = 4096;

/// include/uapi/xen/privcmd.h, struct privcmd_mmapbatch_v2.
#[repr(C)]
struct MmapBatch {
    count: u32,
    domid: u16,
    address: u64,
    frames: *const u64,
    errors: *mut i32,
}

nix::ioctl_write_ptr_bad!(mmap_batch_v2, ioctl_code(4, 32), MmapBatch);

/// One contiguous map of consecutive guest frames, readable and writable.
#[derive(Debug)]
pub(crate) struct ForeignMapping {
    address: NonNull<c_void>,
    size: NonZeroUsize,
    guest_address: u64,
}

impl ForeignMapping {
    /// Maps `size` bytes of `domid` from `guest_address` on, both multiples of the page size. Every
    /// frame must be there.
    pub(crate) fn map(
        privcmd: &Privcmd,
        domid: u16,
        guest_address: u64,
        size: NonZeroUsize,
    ) -> Result<Self, XenError> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let address = unsafe { mmap(None, size, protection, flags, privcmd.as_fd(), 0) };
        let address = address.map_err(|error| refused("mapping privcmd", error))?;
        let mapping = Self {
            address,
            size,
            guest_address,
        };
        mapping.fill(privcmd, domid)?;
        Ok(mapping)
    }

    /// Puts the guest's frames behind the addresses.
    fn fill(&self, privcmd: &Privcmd, domid: u16) -> Result<(), XenError> {
        let count = self.size.get() / PAGE_SIZE;
        let first = self.guest_address / PAGE_SIZE as u64;
        let frames: Vec<u64> = (first..first + count as u64).collect();
        let mut errors = vec![0_i32; count];
        let batch = MmapBatch {
            count: count as u32,
            domid,
            address: self.address.as_ptr() as u64,
            frames: frames.as_ptr(),
            errors: errors.as_mut_ptr(),
        };
        privcmd.add_to_count();
        // SAFETY: both arrays have `count` elements and outlive the call, and the address range is
        // this mapping's own, which nobody uses yet.
        let result = unsafe { mmap_batch_v2(privcmd.as_fd().as_raw_fd(), &batch) };
        // ENOENT says only that some frame has failed with it: look at the frames first.
        if let Some(index) = errors.iter().position(|&error| error != 0) {
            let source = std::io::Error::from_raw_os_error(errors[index].wrapping_neg());
            return Err(XenError::Unmappable {
                frame: frames[index],
                source,
            });
        }
        result
            .map(drop)
            .map_err(|error| refused("IOCTL_PRIVCMD_MMAPBATCH_V2", error))
    }

    /// Hands the map to vm-memory. It then stays until the process ends: a copy of the guest's
    /// memory may be held anywhere, and none may outlive the map.
    pub(crate) fn into_region(self) -> Result<GuestRegionMmap, XenError> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let pointer = self.address.as_ptr().cast::<u8>();
        // SAFETY: the pointer is page-aligned and valid for `size` bytes, and it stays valid for
        // good: `forget` below keeps `drop` from unmapping it.
        let region = unsafe {
            MmapRegion::build_raw(pointer, self.size.get(), protection, libc::MAP_SHARED)
        };
        let unusable = || XenError::Refused {
            operation: "describing mapped guest memory",
            source: std::io::Error::from_raw_os_error(libc::EINVAL),
        };
        let region = region.map_err(|_| unusable())?;
        let region = GuestRegionMmap::new(region, GuestAddress(self.guest_address));
        let region = region.ok_or_else(unusable)?;
        std::mem::forget(self);
        Ok(region)
    }
}

impl Drop for ForeignMapping {
    fn drop(&mut self) {
        // SAFETY: `map` made exactly this mapping and nothing refers to it while `self` lives.
        // Unmapping an own mapping cannot fail, and there would be nothing to do about it.
        let _ = unsafe { munmap(self.address, self.size.get()) };
    }
}

fn refused(operation: &'static str, error: nix::Error) -> XenError {
    XenError::Refused {
        operation,
        source: error.into(),
    }
}
