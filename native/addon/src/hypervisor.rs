// SPDX-License-Identifier: Apache-2.0
//! What `src/toolstack/native-hypervisor.ts` asks of Xen.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use lightvm_xen::{CpuShare, Hypervisor};
use napi::bindgen_prelude::{AsyncTask, BigInt, BigUint64Array};
use napi_derive::napi;

use crate::task::{Work, failure, promise};

/// Opened by the first call that needs it; a failure is not kept.
static HYPERVISOR: Mutex<Option<Hypervisor>> = Mutex::new(None);

/// What Xen says of itself and of the machine.
#[napi(object)]
pub struct HostInfo {
    /// For example "4.20.3".
    pub xen_version: String,
    /// Xen's capability string.
    pub capabilities: String,
    /// In bytes.
    pub free_memory_bytes: BigInt,
    /// In bytes.
    pub total_memory_bytes: BigInt,
    /// Hardware virtual machines are possible at all,
    pub hvm: bool,
    /// and with nested paging.
    pub hap: bool,
    /// Physical CPUs that are up.
    pub cpus: u32,
}

/// One domain, as one hypercall saw it.
#[napi(object)]
pub struct DomainInfo {
    /// Xen's number of the domain.
    pub domid: u32,
    /// Domain handle: 32 hexadecimal digits.
    pub uuid: String,
    /// Paused by control software.
    pub paused: bool,
    /// Being destroyed.
    pub dying: bool,
    /// The domain has ended and waits to be destroyed.
    pub shutdown: bool,
    /// Xen's SHUTDOWN_*; -1 while it runs.
    pub shutdown_reason: i32,
    /// In bytes.
    pub memory_bytes: BigInt,
    /// vCPUs that are online.
    pub vcpus: u32,
    /// CPU time of all vCPUs.
    pub cpu_nanoseconds: BigInt,
}

/// Asks Xen about itself and the machine.
#[napi]
pub fn host_info() -> napi::Result<HostInfo> {
    let info = hypervisor()?.host_info().map_err(failure)?;
    Ok(HostInfo {
        xen_version: info.xen_version,
        capabilities: info.capabilities,
        free_memory_bytes: info.free_memory_bytes.into(),
        total_memory_bytes: info.total_memory_bytes.into(),
        hvm: info.hvm,
        hap: info.hap,
        cpus: info.cpus,
    })
}

/// Lists all domains, dom0 included.
#[napi]
pub fn list_domains() -> napi::Result<Vec<DomainInfo>> {
    let domains = hypervisor()?.list_domains().map_err(failure)?;
    Ok(domains.into_iter().map(domain_info).collect())
}

/// What all domains use: three numbers for each, its domid, nanoseconds of CPU time, bytes of memory. A
/// thousand domains as objects would take tens of milliseconds to make.
#[napi]
pub fn domain_usages() -> napi::Result<BigUint64Array> {
    let domains = hypervisor()?.list_domains().map_err(failure)?;
    let usage = |domain: lightvm_xen::DomainInfo| {
        [
            domain.domid.into(),
            domain.cpu_nanoseconds,
            domain.memory_bytes,
        ]
    };
    Ok(domains
        .into_iter()
        .flat_map(usage)
        .collect::<Vec<u64>>()
        .into())
}

/// A number that stays the same while no domain comes or goes, begins to go, or ends.
#[napi]
pub fn domains_state() -> napi::Result<BigInt> {
    let mut hasher = DefaultHasher::new();
    for domain in hypervisor()?.list_domains().map_err(failure)? {
        (domain.domid, domain.uuid).hash(&mut hasher);
        (domain.dying, domain.shutdown_reason).hash(&mut hasher);
    }
    Ok(hasher.finish().into())
}

/// Lets a domain run that was paused once; returns for how many nanoseconds it has run meanwhile.
#[napi]
pub fn unpause_domain(domid: u32) -> napi::Result<BigInt> {
    hypervisor()?
        .unpause_domain(checked(domid)?)
        .map(BigInt::from)
        .map_err(failure)
}

/// Stops a domain's vCPUs.
#[napi]
pub fn pause_domain(domid: u32) -> napi::Result<()> {
    hypervisor()?.pause_domain(checked(domid)?).map_err(failure)
}

/// Limits the memory that a domain can have from now on, in bytes.
#[napi]
pub fn limit_memory(domid: u32, bytes: BigInt) -> napi::Result<()> {
    let domid = checked(domid)?;
    match bytes.get_u64() {
        (false, bytes, true) => hypervisor()?.limit_memory(domid, bytes).map_err(failure),
        _ => Err(napi::Error::from_reason("that is no number of bytes")),
    }
}

/// Whether Xen's scheduler can hold a domain to a part of what its vCPUs could use.
#[napi]
pub fn caps_cpu() -> napi::Result<bool> {
    hypervisor()?.caps_cpu().map_err(failure)
}

/// Sets what a domain gets of the CPUs from now on: its weight against others, and the most that all of
/// its vCPUs together get, in percent of one CPU; 0 is no limit. Nothing where `caps_cpu` is false.
#[napi]
pub fn share_cpu(domid: u32, weight: u32, cap_percent: u32) -> napi::Result<()> {
    let domid = checked(domid)?;
    let (Ok(weight @ 1..), Ok(cap_percent)) = (weight.try_into(), cap_percent.try_into()) else {
        return Err(napi::Error::from_reason("no such weight or cap"));
    };
    let share = CpuShare {
        weight,
        cap_percent,
    };
    hypervisor()?.share_cpu(domid, share).map_err(failure)
}

/// Ends a domain and gives its memory back; one that is gone is no error.
#[napi(ts_return_type = "Promise<void>")]
pub fn destroy_domain(domid: u32) -> napi::Result<AsyncTask<Work<()>>> {
    let domid = checked(domid)?;
    // It takes as long as the domain is large. A handle of its own lets other calls go on.
    Ok(promise(move || {
        let hypervisor = Hypervisor::open().map_err(failure)?;
        hypervisor.destroy_domain(domid).map_err(failure)
    }))
}

fn hypervisor() -> napi::Result<Hypervisor> {
    let mut opened = HYPERVISOR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hypervisor) = &*opened {
        return Ok(hypervisor.clone());
    }
    let hypervisor = Hypervisor::open().map_err(failure)?;
    Ok(opened.insert(hypervisor).clone())
}

/// Domid 0 is the caller, and from 0x7ff0 on the numbers have other meanings (public/xen.h).
fn checked(domid: u32) -> napi::Result<u16> {
    match u16::try_from(domid) {
        Ok(domid @ 1..0x7ff0) => Ok(domid),
        _ => Err(napi::Error::from_reason(format!(
            "{domid} is not the number of a guest"
        ))),
    }
}

fn domain_info(info: lightvm_xen::DomainInfo) -> DomainInfo {
    DomainInfo {
        domid: info.domid.into(),
        uuid: format!("{:032x}", u128::from_be_bytes(info.uuid)),
        paused: info.paused,
        dying: info.dying,
        shutdown: info.shutdown_reason.is_some(),
        shutdown_reason: info.shutdown_reason.map_or(-1, i32::from),
        memory_bytes: info.memory_bytes.into(),
        vcpus: info.vcpus,
        cpu_nanoseconds: info.cpu_nanoseconds.into(),
    }
}
