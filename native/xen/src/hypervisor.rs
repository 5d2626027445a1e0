// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;

use crate::domctl::{Command, CpuShare, Domctl, Version};
use crate::error::XenError;
use crate::hypercall::{Hypercall, Privcmd};
use crate::sysctl;

/// XENVER_*.
const XENVER_VERSION: u64 = 0;
const XENVER_EXTRAVERSION: u64 = 1;
const XENVER_CAPABILITIES: u64 = 3;

/// The right to make hypercalls, as long as nobody gives it away.
#[derive(Clone, Debug)]
pub struct Hypervisor {
    privcmd: Arc<Privcmd>,
    version: Version,
}

/// What Xen says of itself and of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// For example "4.20.3".
    pub xen_version: String,
    /// For example "xen-3.0-x86_64 hvm-3.0-x86_64".
    pub capabilities: String,
    /// Memory that belongs to nobody, in bytes.
    pub free_memory_bytes: u64,
    /// The machine's memory, in bytes.
    pub total_memory_bytes: u64,
    /// Hardware virtual machines are possible at all,
    pub hvm: bool,
    /// and with hardware-assisted (nested) paging.
    pub hap: bool,
    /// Physical CPUs that are up.
    pub cpus: u32,
}

/// One domain, as one hypercall saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Xen's number of the domain.
    pub domid: u16,
    /// The domain's handle.
    pub uuid: [u8; 16],
    /// Paused by control software.
    pub paused: bool,
    /// Being destroyed; Xen still holds pages of it.
    pub dying: bool,
    /// Why the domain has ended, as SHUTDOWN_* (public/sched.h); `None` while it runs.
    pub shutdown_reason: Option<u8>,
    /// Memory that the domain holds, in bytes.
    pub memory_bytes: u64,
    /// vCPUs that are online.
    pub vcpus: u32,
    /// CPU time of all vCPUs, in nanoseconds.
    pub cpu_nanoseconds: u64,
}

impl Hypervisor {
    /// Opens Xen's control device and finds the interface version.
    pub fn open() -> Result<Self, XenError> {
        let privcmd = Privcmd::open()?;
        let version = Domctl::probe(&privcmd)?;
        Ok(Self {
            privcmd: Arc::new(privcmd),
            version,
        })
    }

    /// What Xen says of itself and of the machine.
    pub fn host_info(&self) -> Result<HostInfo, XenError> {
        let version = self.privcmd.call().issue(
            "xen_version",
            Hypercall::XenVersion,
            &[XENVER_VERSION, 0],
        )?;
        // sizeof(xen_extraversion_t), sizeof(xen_capabilities_info_t).
        let extra = self.version_text(XENVER_EXTRAVERSION, 16)?;
        let capabilities = self.version_text(XENVER_CAPABILITIES, 1024)?;
        let machine = sysctl::physical_info(&self.privcmd)?;
        Ok(HostInfo {
            xen_version: format!("{}.{}{extra}", version >> 16, version & 0xffff),
            capabilities: capabilities.trim_end().to_owned(),
            free_memory_bytes: machine.free_memory_bytes,
            total_memory_bytes: machine.total_memory_bytes,
            hvm: machine.hvm,
            hap: machine.hap,
            cpus: machine.cpus,
        })
    }

    /// Every domain of the machine, in the order of their numbers.
    pub fn list_domains(&self) -> Result<Vec<DomainInfo>, XenError> {
        sysctl::list_domains(&self.privcmd)
    }

    /// Adds one to the domain's pause count.
    pub fn pause_domain(&self, domid: u16) -> Result<(), XenError> {
        self.domctl()
            .simple("pausedomain", Command::PauseDomain, domid)
            .map(drop)
    }

    /// Limits the memory that the domain can have from now on, in bytes; what it has it keeps.
    pub fn limit_memory(&self, domid: u16, bytes: u64) -> Result<(), XenError> {
        self.domctl().max_memory(domid, bytes)
    }

    /// Whether Xen's scheduler can hold a domain to a part of what its vCPUs could use.
    pub fn caps_cpu(&self) -> Result<bool, XenError> {
        Ok(sysctl::scheduler(&self.privcmd)?.is_some())
    }

    /// Sets what the domain gets of the CPUs from now on; nothing where [`Self::caps_cpu`] is false.
    pub fn share_cpu(&self, domid: u16, share: CpuShare) -> Result<(), XenError> {
        match sysctl::scheduler(&self.privcmd)? {
            Some(scheduler) => self.domctl().share_cpu(domid, scheduler, share),
            None => Ok(()),
        }
    }

    /// Takes one from the domain's pause count; a domain starts with one. Returns how long the
    /// domain has run before the call returned, in nanoseconds: Xen may let a guest that wakes have
    /// the caller's CPU at once.
    pub fn unpause_domain(&self, domid: u16) -> Result<u64, XenError> {
        let domctl = self.domctl();
        let before = domctl.cpu_nanoseconds(domid)?;
        domctl.simple("unpausedomain", Command::UnpauseDomain, domid)?;
        Ok(domctl.cpu_nanoseconds(domid)?.saturating_sub(before))
    }

    /// Ends a domain and gives its memory back, however often Xen wants to be asked again. A domain
    /// that is gone is no error. Pages that someone still maps keep the domain in the list, dying.
    pub fn destroy_domain(&self, domid: u16) -> Result<(), XenError> {
        loop {
            match self
                .domctl()
                .simple("destroydomain", Command::DestroyDomain, domid)
            {
                Ok(_) => return Ok(()),
                Err(error) if error.is_no_such_domain() => return Ok(()),
                Err(error) if error.is_unfinished() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Requests made of Xen so far; wraps.
    pub fn hypercalls(&self) -> u32 {
        self.privcmd.count()
    }

    pub(crate) fn domctl(&self) -> Domctl<'_> {
        Domctl::new(&self.privcmd, self.version)
    }

    pub(crate) fn privcmd(&self) -> &Privcmd {
        &self.privcmd
    }

    /// A text that `xen_version` fills in, up to its first NUL.
    fn version_text(&self, command: u64, size: usize) -> Result<String, XenError> {
        const OPERATION: &str = "xen_version";
        let mut call = self.privcmd.call();
        let text = call.put(OPERATION, &vec![0; size])?;
        call.issue(OPERATION, Hypercall::XenVersion, &[command, text.address])?;
        let bytes = call
            .get(text)
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}
