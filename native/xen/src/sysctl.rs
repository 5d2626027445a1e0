// SPDX-License-Identifier: Apache-2.0
//! System control (public/sysctl.h): facts about the machine and the list of domains.

use crate::domctl::{RECORD_SIZE, Scheduler, is_wrong_version, parse_domain_info};
use crate::error::XenError;
use crate::fields::{Fields, u32_at, u64_at};
use crate::hypercall::{Hypercall, Privcmd};
use crate::hypervisor::DomainInfo;

/// sizeof(struct xen_sysctl): 8 bytes of header, then the union.
const SIZE: usize = 136;
const PAYLOAD: usize = 8;

/// XEN_SYSCTL_*.
const PHYSINFO: u32 = 3;
const SCHED_ID: u32 = 4;
const GETDOMAININFOLIST: u32 = 6;

/// XEN_SYSCTL_INTERFACE_VERSION of 4.17 to 4.20.
const VERSION: u32 = 0x15;

/// XEN_SYSCTL_PHYSCAP_*.
const CAPABLE_HVM: u32 = 1 << 0;
const CAPABLE_HAP: u32 = 1 << 3;

const PAGE_SIZE: u64 = 4096;
/// Domains asked for at a time.
const BATCH: usize = 256;

/// struct xen_sysctl_physinfo, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhysicalInfo {
    pub(crate) cpus: u32,
    pub(crate) hvm: bool,
    pub(crate) hap: bool,
    pub(crate) total_memory_bytes: u64,
    pub(crate) free_memory_bytes: u64,
}

/// Asks for the machine's size and abilities.
pub(crate) fn physical_info(privcmd: &Privcmd) -> Result<PhysicalInfo, XenError> {
    const OPERATION: &str = "physinfo";
    let mut call = privcmd.call();
    let control = call.put(OPERATION, &structure(PHYSINFO, &[]))?;
    call.issue(OPERATION, Hypercall::Sysctl, &[control.address])
        .map_err(name_wrong_version)?;
    Ok(parse_physical_info(&call.get(control)[PAYLOAD..]))
}

/// Which scheduler gives out the CPUs; `None` for one without weights and caps.
pub(crate) fn scheduler(privcmd: &Privcmd) -> Result<Option<Scheduler>, XenError> {
    const OPERATION: &str = "sched_id";
    let mut call = privcmd.call();
    let control = call.put(OPERATION, &structure(SCHED_ID, &[]))?;
    call.issue(OPERATION, Hypercall::Sysctl, &[control.address])
        .map_err(name_wrong_version)?;
    Ok(Scheduler::from_id(u32_at(call.get(control), PAYLOAD)))
}

fn parse_physical_info(payload: &[u8]) -> PhysicalInfo {
    let capabilities = u32_at(payload, 28);
    let free_pages = u64_at(payload, 48);
    let scrub_pages = u64_at(payload, 56);
    PhysicalInfo {
        cpus: u32_at(payload, 8),
        hvm: capabilities & CAPABLE_HVM != 0,
        hap: capabilities & CAPABLE_HAP != 0,
        total_memory_bytes: u64_at(payload, 40) * PAGE_SIZE,
        free_memory_bytes: (free_pages + scrub_pages) * PAGE_SIZE,
    }
}

/// Every domain of the machine, in the order of their numbers.
pub(crate) fn list_domains(privcmd: &Privcmd) -> Result<Vec<DomainInfo>, XenError> {
    let mut domains: Vec<DomainInfo> = Vec::new();
    loop {
        let first = domains.last().map_or(0, |last| last.domid + 1);
        let batch = list_domains_from(privcmd, first)?;
        let complete = batch.len() < BATCH;
        domains.extend(batch);
        if complete {
            return Ok(domains);
        }
    }
}

fn list_domains_from(privcmd: &Privcmd, first: u16) -> Result<Vec<DomainInfo>, XenError> {
    const OPERATION: &str = "getdomaininfolist";
    let mut call = privcmd.call();
    let records = call.put(OPERATION, &[0; BATCH * RECORD_SIZE])?;
    let payload = Fields::new()
        .u16(first)
        .u32(BATCH as u32)
        .u64(records.address)
        .u32(0)
        .build();
    let control = call.put(OPERATION, &structure(GETDOMAININFOLIST, &payload))?;
    call.issue(OPERATION, Hypercall::Sysctl, &[control.address])
        .map_err(name_wrong_version)?;
    let count = u32_at(&call.get(control)[PAYLOAD..], 16) as usize;
    Ok(call
        .get(records)
        .chunks_exact(RECORD_SIZE)
        .take(count)
        .map(parse_record)
        .collect())
}

fn parse_record(bytes: &[u8]) -> DomainInfo {
    let mut record = [0; RECORD_SIZE];
    record.copy_from_slice(bytes);
    parse_domain_info(&record)
}

fn structure(command: u32, payload: &[u8]) -> Vec<u8> {
    Fields::new()
        .u32(command)
        .u32(VERSION)
        .bytes(payload)
        .padded_to(SIZE)
        .build()
}

fn name_wrong_version(error: XenError) -> XenError {
    if is_wrong_version(&error) {
        XenError::UnknownInterface("sysctl")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_size_and_offsets_of_the_header() {
        let bytes = structure(PHYSINFO, &[0xaa]);
        assert_eq!(bytes.len(), 136);
        assert_eq!(
            (u32_at(&bytes, 0), u32_at(&bytes, 4), bytes[8]),
            (3, 0x15, 0xaa)
        );
    }

    #[test]
    fn physinfo_is_read_at_the_offsets_of_the_header() {
        let payload = Fields::new()
            .padded_to(8)
            .u32(4) // nr_cpus
            .padded_to(28)
            .u32(CAPABLE_HVM | CAPABLE_HAP)
            .padded_to(40)
            .u64(1024) // total_pages
            .u64(100) // free_pages
            .u64(28) // scrub_pages
            .padded_to(112)
            .build();
        let info = parse_physical_info(&payload);
        assert_eq!((info.cpus, info.hvm, info.hap), (4, true, true));
        assert_eq!(info.total_memory_bytes, 1024 * 4096);
        assert_eq!(info.free_memory_bytes, 128 * 4096);
    }
}
