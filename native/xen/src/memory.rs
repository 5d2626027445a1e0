// SPDX-License-Identifier: Apache-2.0
//! A domain's memory and the few other calls that the builder needs: XENMEM_*, event channels on
//! the guest's behalf, HVM parameters.

use crate::error::XenError;
use crate::fields::{Fields, u32_at};
use crate::hypercall::{Hypercall, Privcmd};

/// XENMEM_*.
const POPULATE_PHYSMAP: u64 = 6;
const SET_MEMORY_MAP: u64 = 13;

/// EVTCHNOP_alloc_unbound.
const ALLOC_UNBOUND: u64 = 6;
/// Whoever makes the call: this dom0.
const DOMID_SELF: u16 = 0x7ff0;

/// HVMOP_set_param.
const SET_PARAM: u64 = 0;

/// Frame numbers in one call.
const BATCH: usize = 4096;

/// HVM_PARAM_* (public/hvm/params.h).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum HvmParam {
    ConsolePfn = 17,
    ConsoleEvtchn = 18,
    /// SHUTDOWN_* (public/sched.h) that a triple fault counts as.
    TripleFaultReason = 31,
}

/// A range of guest memory for public/arch-x86/xen.h's memory map, which has the BIOS's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryMapEntry {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) kind: MemoryKind,
}

/// XEN_HVM_MEMMAP_TYPE_*, the same numbers as in the BIOS's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MemoryKind {
    Ram = 1,
    Reserved = 2,
}

/// Gives memory to a domain: extents of 2^`order` frames at the frame numbers of `starts`. Returns
/// how many of them Xen had memory for, in order.
pub(crate) fn populate(
    privcmd: &Privcmd,
    domid: u16,
    order: u32,
    starts: &[u64],
) -> Result<usize, XenError> {
    let mut done = 0;
    for batch in starts.chunks(BATCH) {
        let populated = populate_batch(privcmd, domid, order, batch)?;
        done += populated;
        if populated < batch.len() {
            break;
        }
    }
    Ok(done)
}

fn populate_batch(
    privcmd: &Privcmd,
    domid: u16,
    order: u32,
    starts: &[u64],
) -> Result<usize, XenError> {
    const OPERATION: &str = "populate_physmap";
    let mut call = privcmd.call();
    let bytes: Vec<u8> = starts
        .iter()
        .flat_map(|start| start.to_le_bytes())
        .collect();
    let extents = call.put(OPERATION, &bytes)?;
    let reservation = Fields::new()
        .u64(extents.address)
        .u64(starts.len() as u64)
        .u32(order)
        .u32(0) // mem_flags
        .u16(domid)
        .aligned(8)
        .build();
    let reservation = call.put(OPERATION, &reservation)?;
    let arguments = [POPULATE_PHYSMAP, reservation.address];
    Ok(call.issue(OPERATION, Hypercall::MemoryOp, &arguments)? as usize)
}

/// Tells Xen what the guest will be told when it asks for its memory map.
pub(crate) fn set_memory_map(
    privcmd: &Privcmd,
    domid: u16,
    map: &[MemoryMapEntry],
) -> Result<(), XenError> {
    const OPERATION: &str = "set_memory_map";
    let mut call = privcmd.call();
    // struct e820entry is packed: 20 bytes.
    let bytes: Vec<u8> = map
        .iter()
        .flat_map(|entry| {
            Fields::new()
                .u64(entry.address)
                .u64(entry.size)
                .u32(entry.kind as u32)
                .build()
        })
        .collect();
    let entries = call.put(OPERATION, &bytes)?;
    let structure = Fields::new()
        .u16(domid)
        .aligned(8)
        .u32(map.len() as u32)
        .u64(entries.address)
        .build();
    let structure = call.put(OPERATION, &structure)?;
    call.issue(
        OPERATION,
        Hypercall::MemoryOp,
        &[SET_MEMORY_MAP, structure.address],
    )
    .map(drop)
}

/// Allocates an event channel in `domid` that only this dom0 can bind; returns the guest's port.
pub(crate) fn allocate_event_channel(privcmd: &Privcmd, domid: u16) -> Result<u32, XenError> {
    const OPERATION: &str = "alloc_unbound";
    let mut call = privcmd.call();
    let structure = Fields::new().u16(domid).u16(DOMID_SELF).u32(0).build();
    let structure = call.put(OPERATION, &structure)?;
    let arguments = [ALLOC_UNBOUND, structure.address];
    call.issue(OPERATION, Hypercall::EventChannelOp, &arguments)?;
    Ok(u32_at(call.get(structure), 4))
}

/// Sets one of the parameters that an HVM guest can read.
pub(crate) fn set_hvm_param(
    privcmd: &Privcmd,
    domid: u16,
    param: HvmParam,
    value: u64,
) -> Result<(), XenError> {
    const OPERATION: &str = "set_param";
    let mut call = privcmd.call();
    let structure = Fields::new()
        .u16(domid)
        .u32(param as u32)
        .u64(value)
        .build();
    let structure = call.put(OPERATION, &structure)?;
    call.issue(OPERATION, Hypercall::HvmOp, &[SET_PARAM, structure.address])
        .map(drop)
}
