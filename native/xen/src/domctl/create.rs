// SPDX-License-Identifier: Apache-2.0
use crate::error::XenError;
use crate::fields::Fields;

use super::{Command, Domctl, Version};

/// XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap: what Xen calls a PVH domain is these two and no
/// emulated device but the local APIC.
const FLAGS: u32 = (1 << 0) | (1 << 1);
/// XEN_X86_EMU_LAPIC.
const EMULATED_LOCAL_APIC: u32 = 1;
/// XEN_DOMCTL_GRANT_version(1).
const GRANT_VERSION: u32 = 1;

/// What is fixed when a domain is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreateDomain {
    /// The domain's handle.
    pub(crate) uuid: [u8; 16],
    pub(crate) max_vcpus: u32,
    /// The highest event channel port that the domain may have.
    pub(crate) max_event_channel_port: u32,
    /// Pages that the domain may use for its grant table.
    pub(crate) max_grant_frames: u32,
}

impl CreateDomain {
    /// struct xen_domctl_createdomain.
    fn payload(&self, version: Version) -> Vec<u8> {
        let fields = Fields::new()
            .u32(0) // ssidref
            .bytes(&self.uuid)
            .u32(FLAGS)
            .u32(0) // iommu_opts
            .u32(self.max_vcpus)
            .u32(self.max_event_channel_port)
            .u32(self.max_grant_frames)
            .u32(0) // max_maptrack_frames: it maps nobody's grants
            .u32(GRANT_VERSION);
        // 4.19 put altp2m_opts in between.
        let fields = if version >= Version::V17 {
            fields.u32(0)
        } else {
            fields
        };
        fields
            .u32(0) // vmtrace_size
            .u32(0) // cpupool_id
            .u32(EMULATED_LOCAL_APIC)
            .u32(0) // misc_flags
            .build()
    }
}

impl Domctl<'_> {
    /// Creates a domain, paused and without memory, and returns its domid.
    pub(crate) fn create_domain(&self, options: &CreateDomain) -> Result<u16, XenError> {
        // Domid 0 lets Xen choose.
        let payload = options.payload(self.version);
        let reply = self.issue("createdomain", Command::CreateDomain, 0, &payload)?;
        Ok(reply.domid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::u32_at;

    const OPTIONS: CreateDomain = CreateDomain {
        uuid: [9; 16],
        max_vcpus: 2,
        max_event_channel_port: 127,
        max_grant_frames: 4,
    };

    #[test]
    fn every_release_gets_the_structure_of_its_header() {
        let old = OPTIONS.payload(Version::V15);
        assert_eq!(old.len(), 64);
        assert_eq!(u32_at(&old, 20), 3);
        assert_eq!(u32_at(&old, 56), EMULATED_LOCAL_APIC);
        let new = OPTIONS.payload(Version::V17);
        assert_eq!(new.len(), 68);
        assert_eq!(u32_at(&new, 28), 2);
        assert_eq!(u32_at(&new, 60), EMULATED_LOCAL_APIC);
    }
}
