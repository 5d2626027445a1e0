// SPDX-License-Identifier: Apache-2.0
//! Another domain's memory in this process.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use nix::libc::{self, c_void};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use vm_memory::{GuestAddress, GuestRegionMmap, MmapRegion};

use crate::error::XenError;
use crate::hypercall::ioctl_code;

const PAGE_SIZE: u64 = 4096;
/// Frames that are mapped by one request: those of a superpage. The kernel maps them one by one
/// whatever their number is.
const PIECE_FRAMES: usize = 512;
const PIECE_SIZE: u64 = PIECE_FRAMES as u64 * PAGE_SIZE;

/// include/uapi/xen/privcmd.h, struct privcmd_mmapbatch_v2.
#[repr(C)]
struct MmapBatch {
    count: u32,
    domid: u16,
    address: u64,
    frames: *const u64,
    errors: *mut i32,
}

/// `IOCTL_PRIVCMD_MMAPBATCH_V2`: all that a restricted privcmd is good for here.
pub const MMAP_BATCH: u64 = ioctl_code(4, 32);

nix::ioctl_write_ptr_bad!(mmap_batch_v2, MMAP_BATCH, MmapBatch);

/// A range of a domain's physical addresses in this process. The addresses are reserved at once,
/// out of reach; frames come behind them from the start on, and then stay.
#[derive(Debug)]
pub(crate) struct ForeignRange {
    address: NonNull<c_void>,
    guest: Range<u64>,
    /// Guest-physical end of what is mapped.
    mapped_end: u64,
    /// vm-memory knows the addresses: they are good until the process ends.
    shared: bool,
}

// SAFETY: the addresses are the process's, not a thread's, and changing what is behind them takes
// `&mut self`.
unsafe impl Send for ForeignRange {}
// SAFETY: as above; `&self` gives access to numbers only.
unsafe impl Sync for ForeignRange {}

impl ForeignRange {
    /// Reserves addresses for a range that starts and ends at a page and is not empty.
    pub(crate) fn reserve(guest: Range<u64>) -> Result<Self, XenError> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        let size = size_of_range(&guest)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let address = unsafe { mmap_anonymous(None, size, ProtFlags::PROT_NONE, flags) };
        let address = address.map_err(|error| refused("reserving addresses", error))?;
        Ok(Self {
            address,
            mapped_end: guest.start,
            guest,
            shared: false,
        })
    }

    /// Maps the frames from where the last call ended up to `end`, or up to the range's end; every
    /// one of them must be there. Returns how many requests that took.
    pub(crate) fn map_up_to(
        &mut self,
        privcmd: &impl AsFd,
        domid: u16,
        end: u64,
    ) -> Result<u32, XenError> {
        let mut requests = 0;
        let end = end.min(self.guest.end);
        while self.mapped_end < end {
            let border = (self.mapped_end / PIECE_SIZE + 1) * PIECE_SIZE;
            let piece = self.mapped_end..border.min(end);
            self.map_piece(privcmd, domid, &piece)?;
            self.mapped_end = piece.end;
            requests += 1;
        }
        Ok(requests)
    }

    /// Maps at most PIECE_FRAMES frames behind addresses that nobody uses yet.
    fn map_piece(
        &self,
        privcmd: &impl AsFd,
        domid: u16,
        piece: &Range<u64>,
    ) -> Result<(), XenError> {
        let size = size_of_range(piece)?;
        let count = size.get() / PAGE_SIZE as usize;
        let offset = (piece.start - self.guest.start) as usize;
        let start = NonZeroUsize::MIN.saturating_add(self.address.as_ptr() as usize + offset - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: the piece lies inside of this range's reservation and beyond `mapped_end`, where
        // nobody has a reference to: what is replaced there was out of reach.
        let address = unsafe { mmap(Some(start), size, protection, flags, privcmd.as_fd(), 0) };
        let address = address.map_err(|error| refused("mapping privcmd", error))?;
        let first = piece.start / PAGE_SIZE;
        let mut frames = [0_u64; PIECE_FRAMES];
        for (frame, number) in frames.iter_mut().zip(first..first + count as u64) {
            *frame = number;
        }
        let mut errors = [0_i32; PIECE_FRAMES];
        let batch = MmapBatch {
            count: count as u32,
            domid,
            address: address.as_ptr() as u64,
            frames: frames.as_ptr(),
            errors: errors.as_mut_ptr(),
        };
        // SAFETY: both arrays have at least `count` elements and outlive the call, and the address
        // range is the mapping just made, which nobody uses yet.
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

    /// Tells vm-memory of the range, of which what is not mapped must not be touched. The addresses
    /// then stay until the process ends: a copy of the guest's memory may be held anywhere, and none
    /// may outlive them.
    pub(crate) fn region(&mut self) -> Result<GuestRegionMmap, XenError> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED;
        let pointer = self.address.as_ptr().cast::<u8>();
        let size = size_of_range(&self.guest)?.get();
        // SAFETY: the pointer is page-aligned and the `size` bytes behind it are this range's for
        // good: `shared` keeps `drop` from giving them back. Bytes without a frame behind them end
        // the process when they are touched, in `fault::on_fault`; they never show other memory.
        let region = unsafe { MmapRegion::build_raw(pointer, size, protection, flags) };
        let unusable = || XenError::Refused {
            operation: "describing mapped guest memory",
            source: std::io::Error::from_raw_os_error(libc::EINVAL),
        };
        let region = region.map_err(|_| unusable())?;
        let region = GuestRegionMmap::new(region, GuestAddress(self.guest.start));
        let region = region.ok_or_else(unusable)?;
        self.shared = true;
        Ok(region)
    }

    /// The addresses in this process.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.address.as_ptr() as usize;
        start..start + (self.guest.end - self.guest.start) as usize
    }
}

impl Drop for ForeignRange {
    fn drop(&mut self) {
        if self.shared {
            return;
        }
        let Ok(size) = size_of_range(&self.guest) else {
            return;
        };
        // SAFETY: `reserve` made exactly this mapping and nothing refers to it: `region` has not
        // been called. Unmapping an own mapping cannot fail, and there would be nothing to do.
        let _ = unsafe { munmap(self.address, size.get()) };
    }
}

fn size_of_range(range: &Range<u64>) -> Result<NonZeroUsize, XenError> {
    let size = usize::try_from(range.end.saturating_sub(range.start)).ok();
    size.and_then(NonZeroUsize::new)
        .ok_or_else(|| XenError::Refused {
            operation: "reserving addresses",
            source: std::io::Error::from_raw_os_error(libc::EINVAL),
        })
}

fn refused(operation: &'static str, error: nix::Error) -> XenError {
    XenError::Refused {
        operation,
        source: error.into(),
    }
}
