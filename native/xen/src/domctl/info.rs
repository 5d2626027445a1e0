// SPDX-License-Identifier: Apache-2.0
use crate::fields::{u32_at, u64_at};
use crate::hypervisor::DomainInfo;

/// sizeof(struct xen_domctl_getdomaininfo), the same from 4.17 to 4.20.
pub(crate) const RECORD_SIZE: usize = 112;

/// XEN_DOMINF_*.
const DYING: u32 = 1 << 0;
const SHUTDOWN: u32 = 1 << 2;
const PAUSED: u32 = 1 << 3;
const SHUTDOWN_SHIFT: u32 = 16;
const SHUTDOWN_MASK: u32 = 0xff;

const PAGE_SIZE: u64 = 4096;

/// Reads one struct xen_domctl_getdomaininfo.
pub(crate) fn parse_domain_info(record: &[u8; RECORD_SIZE]) -> DomainInfo {
    let flags = u32_at(record, 4);
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&record[76..92]);
    let reason = ((flags >> SHUTDOWN_SHIFT) & SHUTDOWN_MASK) as u8;
    DomainInfo {
        domid: u16::from_le_bytes([record[0], record[1]]),
        uuid,
        paused: flags & PAUSED != 0,
        dying: flags & DYING != 0,
        shutdown_reason: (flags & SHUTDOWN != 0).then_some(reason),
        memory_bytes: u64_at(record, 8) * PAGE_SIZE,
        vcpus: u32_at(record, 64),
        cpu_nanoseconds: u64_at(record, 56),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    #[test]
    fn a_record_is_read_at_the_offsets_of_the_header() {
        let bytes = Fields::new()
            .u16(5)
            .u32(SHUTDOWN | PAUSED | (3 << SHUTDOWN_SHIFT))
            .u64(256) // tot_pages
            .padded_to(56)
            .u64(1_000) // cpu_time
            .u32(2) // nr_online_vcpus
            .u32(1) // max_vcpu_id
            .u32(0) // ssidref
            .bytes(&[7; 16])
            .padded_to(RECORD_SIZE)
            .build();
        let mut record = [0; RECORD_SIZE];
        record.copy_from_slice(&bytes);
        let info = parse_domain_info(&record);
        assert_eq!(info.domid, 5);
        assert_eq!(info.uuid, [7; 16]);
        assert_eq!((info.paused, info.dying), (true, false));
        assert_eq!(info.shutdown_reason, Some(3));
        assert_eq!(info.memory_bytes, 1 << 20);
        assert_eq!((info.vcpus, info.cpu_nanoseconds), (2, 1_000));
    }
}
