// SPDX-License-Identifier: Apache-2.0
use crate::error::XenError;
use crate::fields::{Fields, u32_at};

use super::{Command, Domctl, payload_u32};

/// TSC_MODE_NEVER_EMULATE: the guest reads the processor's counter itself.
const TSC_NATIVE: u32 = 2;

/// sizeof(xen_cpuid_leaf_t).
const LEAF_SIZE: usize = 24;
/// More than any Xen has reported; it says ENOBUFS when it needs more.
const MAX_LEAVES: usize = 512;
/// sizeof(xen_msr_entry_t), and how many of them a policy may have.
const MSR_SIZE: usize = 16;
const MAX_MSRS: usize = 64;

/// What CPUID answers to one leaf and subleaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuidLeaf {
    pub(crate) leaf: u32,
    pub(crate) subleaf: u32,
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) c: u32,
    pub(crate) d: u32,
}

impl Domctl<'_> {
    /// Allocates the vCPUs; none of them is up.
    pub(crate) fn max_vcpus(&self, domid: u16, vcpus: u32) -> Result<(), XenError> {
        self.issue("max_vcpus", Command::MaxVcpus, domid, &vcpus.to_le_bytes())
            .map(drop)
    }

    /// Limits the domain's memory.
    pub(crate) fn max_memory(&self, domid: u16, bytes: u64) -> Result<(), XenError> {
        let kibibytes = bytes.div_ceil(1024);
        self.issue(
            "max_mem",
            Command::MaxMemory,
            domid,
            &kibibytes.to_le_bytes(),
        )
        .map(drop)
    }

    /// Sets how much memory Xen may use for the domain's second-level page tables.
    pub(crate) fn set_paging_mempool(&self, domid: u16, bytes: u64) -> Result<(), XenError> {
        let command = Command::SetPagingMempoolSize;
        loop {
            match self.issue(
                "set_paging_mempool_size",
                command,
                domid,
                &bytes.to_le_bytes(),
            ) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_unfinished() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets the guest read the processor's time stamp counter, at its own frequency.
    pub(crate) fn set_tsc_native(&self, domid: u16) -> Result<(), XenError> {
        let payload = Fields::new().u32(TSC_NATIVE).padded_to(24).build();
        self.issue("settscinfo", Command::SetTscInfo, domid, &payload)
            .map(drop)
    }

    /// Has the guest's wall clock tell Xen's own time, UTC. Without this, Xen leaves the time of day in an
    /// HVM guest's shared page at 1970 until dom0 next sets the clock.
    pub(crate) fn set_time_utc(&self, domid: u16) -> Result<(), XenError> {
        let offset_seconds = 0_i64;
        self.issue(
            "settimeoffset",
            Command::SetTimeOffset,
            domid,
            &offset_seconds.to_le_bytes(),
        )
        .map(drop)
    }

    /// Sets the state of vCPUs: a sequence of records as public/hvm/save.h has them.
    pub(crate) fn set_hvm_context(&self, domid: u16, context: &[u8]) -> Result<(), XenError> {
        const OPERATION: &str = "sethvmcontext";
        let mut call = self.privcmd.call();
        let data = call.put(OPERATION, context)?;
        let payload = Fields::new()
            .u32(context.len() as u32)
            .u64(data.address)
            .build();
        self.issue_in(
            &mut call,
            OPERATION,
            Command::SetHvmContext,
            domid,
            &payload,
        )
        .map(drop)
    }

    /// What CPUID answers in the domain.
    pub(crate) fn cpuid_leaves(&self, domid: u16) -> Result<Vec<CpuidLeaf>, XenError> {
        const OPERATION: &str = "get_cpu_policy";
        let mut call = self.privcmd.call();
        let leaves = call.put(OPERATION, &[0; MAX_LEAVES * LEAF_SIZE])?;
        let msrs = call.put(OPERATION, &[0; MAX_MSRS * MSR_SIZE])?;
        let payload = Fields::new()
            .u32(MAX_LEAVES as u32)
            .u32(MAX_MSRS as u32)
            .u64(leaves.address)
            .u64(msrs.address)
            .build();
        let reply = self.issue_in(&mut call, OPERATION, Command::GetCpuPolicy, domid, &payload)?;
        let count = payload_u32(&reply, 0) as usize;
        Ok(call
            .get(leaves)
            .chunks_exact(LEAF_SIZE)
            .take(count)
            .map(parse_leaf)
            .collect())
    }

    /// Changes what CPUID answers for some leaves; the others stay as they are. Xen refuses what
    /// the machine cannot keep.
    pub(crate) fn set_cpuid_leaves(
        &self,
        domid: u16,
        changed: &[CpuidLeaf],
    ) -> Result<(), XenError> {
        const OPERATION: &str = "set_cpu_policy";
        let mut call = self.privcmd.call();
        let bytes: Vec<u8> = changed.iter().flat_map(leaf_bytes).collect();
        let leaves = call.put(OPERATION, &bytes)?;
        let payload = Fields::new()
            .u32(changed.len() as u32)
            .u32(0) // no MSRs
            .u64(leaves.address)
            .u64(0)
            .build();
        self.issue_in(&mut call, OPERATION, Command::SetCpuPolicy, domid, &payload)
            .map(drop)
    }
}

fn parse_leaf(bytes: &[u8]) -> CpuidLeaf {
    CpuidLeaf {
        leaf: u32_at(bytes, 0),
        subleaf: u32_at(bytes, 4),
        a: u32_at(bytes, 8),
        b: u32_at(bytes, 12),
        c: u32_at(bytes, 16),
        d: u32_at(bytes, 20),
    }
}

fn leaf_bytes(leaf: &CpuidLeaf) -> Vec<u8> {
    let CpuidLeaf {
        leaf,
        subleaf,
        a,
        b,
        c,
        d,
    } = *leaf;
    Fields::new()
        .u32(leaf)
        .u32(subleaf)
        .u32(a)
        .u32(b)
        .u32(c)
        .u32(d)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_survive_the_way_to_xen_and_back() {
        let leaf = CpuidLeaf {
            leaf: 4,
            subleaf: 1,
            a: 2,
            b: 3,
            c: 5,
            d: 7,
        };
        let bytes = leaf_bytes(&leaf);
        assert_eq!(bytes.len(), LEAF_SIZE);
        assert_eq!(parse_leaf(&bytes), leaf);
    }
}
