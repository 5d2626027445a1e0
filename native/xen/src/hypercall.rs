// SPDX-License-Identifier: Apache-2.0
//! Hypercalls through `/dev/xen/privcmd`.
//!
//! Xen reads and writes arguments by virtual address, so they must lie in memory that the kernel
//! never moves. `/dev/xen/hypercall` gives such memory. One buffer serves all calls: a [`Call`]
//! borrows it, puts its arguments there one after the other, and gives it back.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc::c_void;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::XenError;

const PRIVCMD: &str = "/dev/xen/privcmd";
const HYPERCALL_BUFFERS: &str = "/dev/xen/hypercall";

/// Enough for 8192 frame numbers, 580 domain records or 64 vCPUs' contexts.
pub(crate) const BUFFER_SIZE: usize = 16 * 4096;

/// public/xen.h, __HYPERVISOR_*.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Hypercall {
    MemoryOp = 12,
    XenVersion = 17,
    EventChannelOp = 32,
    HvmOp = 34,
    Sysctl = 35,
    Domctl = 36,
}

/// include/uapi/xen/privcmd.h, struct privcmd_hypercall.
#[repr(C)]
struct PrivcmdHypercall {
    op: u64,
    arguments: [u64; 5],
}

nix::ioctl_write_ptr_bad!(privcmd_hypercall, ioctl_code(0, 48), PrivcmdHypercall);
nix::ioctl_write_ptr_bad!(privcmd_restrict, ioctl_code(6, 2), u16);

/// `_IOC(_IOC_NONE, 'P', number, size)`.
pub(crate) const fn ioctl_code(number: u64, size: u64) -> u64 {
    (size << 16) | ((b'P' as u64) << 8) | number
}

/// An open privcmd and the buffer for its arguments.
#[derive(Debug)]
pub(crate) struct Privcmd {
    file: File,
    buffer: Mutex<Buffer>,
    count: AtomicU32,
}

impl Privcmd {
    pub(crate) fn open() -> Result<Self, XenError> {
        let file = open(PRIVCMD)?;
        let buffer = Mutex::new(Buffer::map(&open(HYPERCALL_BUFFERS)?)?);
        Ok(Self {
            file,
            buffer,
            count: AtomicU32::new(0),
        })
    }

    /// Begins a hypercall; whoever else wants one waits until the `Call` is dropped.
    pub(crate) fn call(&self) -> Call<'_> {
        let buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        Call {
            privcmd: self,
            buffer,
            used: 0,
        }
    }

    /// Requests made of Xen so far, maps of foreign memory included; wraps.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts requests to Xen that another driver or ioctl makes for us.
    pub(crate) fn add_to_count(&self, requests: u32) {
        self.count.fetch_add(requests, Ordering::Relaxed);
    }

    /// Gives up every hypercall and all foreign memory but that of `domid`, for good. What is left
    /// of the right is in the file that is returned: mapping that domain's memory.
    pub(crate) fn restrict(&self, domid: u16) -> Result<File, XenError> {
        // SAFETY: the descriptor is open and this ioctl reads a domid_t, which is a u16.
        unsafe { privcmd_restrict(self.file.as_raw_fd(), &domid) }
            .map_err(|error| refused("IOCTL_PRIVCMD_RESTRICT", error))?;
        self.file.try_clone().map_err(|source| XenError::Refused {
            operation: "copying a descriptor",
            source,
        })
    }
}

impl AsFd for Privcmd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// One hypercall in the making.
pub(crate) struct Call<'a> {
    privcmd: &'a Privcmd,
    buffer: MutexGuard<'a, Buffer>,
    used: usize,
}

/// An argument that lies in the hypercall buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument {
    offset: usize,
    length: usize,
    /// Its virtual address, as Xen wants it.
    pub(crate) address: u64,
}

impl Call<'_> {
    /// Copies a structure or an array to where Xen can reach it.
    pub(crate) fn put(
        &mut self,
        operation: &'static str,
        bytes: &[u8],
    ) -> Result<Argument, XenError> {
        let offset = self.used.next_multiple_of(8);
        let target = self
            .buffer
            .bytes_mut()
            .get_mut(offset..offset + bytes.len());
        target
            .ok_or(XenError::ArgumentsTooLarge(operation))?
            .copy_from_slice(bytes);
        self.used = offset + bytes.len();
        let address = self.buffer.address() + offset as u64;
        Ok(Argument {
            offset,
            length: bytes.len(),
            address,
        })
    }

    /// What an argument holds now; Xen has written its answers there.
    pub(crate) fn get(&self, argument: Argument) -> &[u8] {
        &self.buffer.bytes()[argument.offset..argument.offset + argument.length]
    }

    /// Makes the hypercall and returns its result, which is not negative.
    pub(crate) fn issue(
        &mut self,
        operation: &'static str,
        hypercall: Hypercall,
        arguments: &[u64],
    ) -> Result<u32, XenError> {
        let mut all = [0; 5];
        all[..arguments.len()].copy_from_slice(arguments);
        let request = PrivcmdHypercall {
            op: hypercall as u64,
            arguments: all,
        };
        self.privcmd.add_to_count(1);
        // SAFETY: the descriptor is open and the argument is the structure that this ioctl reads.
        // Xen writes only inside the buffer: every address in it came from `put`, with its length.
        let result = unsafe { privcmd_hypercall(self.privcmd.file.as_raw_fd(), &request) };
        result
            .map(i32::unsigned_abs)
            .map_err(|error| refused(operation, error))
    }
}

/// Memory for arguments that stays where it is.
#[derive(Debug)]
struct Buffer {
    pages: NonNull<c_void>,
}

// SAFETY: the pages belong to this value alone and are reached through it only.
unsafe impl Send for Buffer {}

impl Buffer {
    fn map(file: &File) -> Result<Self, XenError> {
        let size = const { NonZeroUsize::new(BUFFER_SIZE).unwrap() };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let pages = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, file, 0) };
        pages
            .map(|pages| Self { pages })
            .map_err(|error| refused("mapping a hypercall buffer", error))
    }

    fn address(&self) -> u64 {
        self.pages.as_ptr() as u64
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `map` got BUFFER_SIZE readable bytes, zeroed by the kernel; Xen writes to them
        // only during `issue`, which borrows the buffer mutably.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), BUFFER_SIZE) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and writable; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_ptr().cast(), BUFFER_SIZE) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `map` made exactly this mapping, and no reference into it outlives the value.
        // Unmapping an own mapping cannot fail, and there would be nothing to do about it.
        let _ = unsafe { munmap(self.pages, BUFFER_SIZE) };
    }
}

fn open(path: &'static str) -> Result<File, XenError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map_err(|source| XenError::Unavailable { path, source })
}

fn refused(operation: &'static str, error: nix::Error) -> XenError {
    XenError::Refused {
        operation,
        source: error.into(),
    }
}
