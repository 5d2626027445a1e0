// SPDX-License-Identifier: Apache-2.0
//! Domain control (public/domctl.h): an unstable interface whose version every call must name.

mod create;
mod info;
mod schedule;
mod settings;

pub(crate) use create::CreateDomain;
pub(crate) use info::{RECORD_SIZE, parse_domain_info};
pub use schedule::CpuShare;
pub(crate) use schedule::Scheduler;
pub(crate) use settings::CpuidLeaf;

use crate::error::XenError;
use crate::fields::{Fields, u32_at};
use crate::hypercall::{Argument, Call, Hypercall, Privcmd};

/// sizeof(struct xen_domctl): 16 bytes of header, then the union.
const SIZE: usize = 144;
const PAYLOAD: usize = 16;

/// XEN_DOMCTL_*.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Command {
    CreateDomain = 1,
    DestroyDomain = 2,
    PauseDomain = 3,
    UnpauseDomain = 4,
    GetDomainInfo = 5,
    MaxMemory = 11,
    MaxVcpus = 15,
    SchedulerOp = 16,
    SetTimeOffset = 24,
    SetHvmContext = 34,
    SetTscInfo = 60,
    GetCpuPolicy = 82,
    SetCpuPolicy = 83,
    SetPagingMempoolSize = 86,
}

/// XEN_DOMCTL_INTERFACE_VERSION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Version {
    /// Xen 4.17.
    V15 = 0x15,
    /// Xen 4.18.
    V16 = 0x16,
    /// Xen 4.19 and 4.20.
    V17 = 0x17,
}

/// Domain control at the version that this Xen speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Domctl<'a> {
    privcmd: &'a Privcmd,
    version: Version,
}

/// What a domctl has left in its structure.
pub(crate) struct Reply {
    bytes: [u8; SIZE],
}

impl Reply {
    /// The domain that the call was about; createdomain says here which one it made.
    pub(crate) fn domid(&self) -> u16 {
        u16::from_le_bytes([self.bytes[8], self.bytes[9]])
    }

    /// The union.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[PAYLOAD..]
    }
}

impl<'a> Domctl<'a> {
    pub(crate) fn new(privcmd: &'a Privcmd, version: Version) -> Self {
        Self { privcmd, version }
    }

    /// Finds the version that Xen speaks by asking for dom0's record with each that we know: Xen
    /// refuses a wrong version before it looks at anything else.
    pub(crate) fn probe(privcmd: &Privcmd) -> Result<Version, XenError> {
        for version in [Version::V17, Version::V16, Version::V15] {
            match Domctl::new(privcmd, version).simple("getdomaininfo", Command::GetDomainInfo, 0) {
                Ok(_) => return Ok(version),
                Err(error) if is_wrong_version(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(XenError::UnknownInterface("domctl"))
    }

    /// CPU time that the domain has used.
    pub(crate) fn cpu_nanoseconds(&self, domid: u16) -> Result<u64, XenError> {
        let reply = self.simple("getdomaininfo", Command::GetDomainInfo, domid)?;
        let mut record = [0; RECORD_SIZE];
        record.copy_from_slice(&reply.payload()[..RECORD_SIZE]);
        Ok(parse_domain_info(&record).cpu_nanoseconds)
    }

    /// A domctl without arguments of its own.
    pub(crate) fn simple(
        &self,
        operation: &'static str,
        command: Command,
        domid: u16,
    ) -> Result<Reply, XenError> {
        self.issue(operation, command, domid, &[])
    }

    /// A domctl whose arguments all lie in its structure.
    pub(crate) fn issue(
        &self,
        operation: &'static str,
        command: Command,
        domid: u16,
        payload: &[u8],
    ) -> Result<Reply, XenError> {
        self.issue_in(&mut self.privcmd.call(), operation, command, domid, payload)
    }

    /// A domctl whose structure points to data that has been put into `call`.
    fn issue_in(
        &self,
        call: &mut Call<'_>,
        operation: &'static str,
        command: Command,
        domid: u16,
        payload: &[u8],
    ) -> Result<Reply, XenError> {
        let control = call.put(operation, &structure(command, self.version, domid, payload))?;
        call.issue(operation, Hypercall::Domctl, &[control.address])?;
        Ok(reply(call, control))
    }
}

fn structure(command: Command, version: Version, domid: u16, payload: &[u8]) -> Vec<u8> {
    Fields::new()
        .u32(command as u32)
        .u32(version as u32)
        .u16(domid)
        .padded_to(PAYLOAD)
        .bytes(payload)
        .padded_to(SIZE)
        .build()
}

fn reply(call: &Call<'_>, control: Argument) -> Reply {
    let mut bytes = [0; SIZE];
    bytes.copy_from_slice(call.get(control));
    Reply { bytes }
}

/// Xen's answer to an interface version that it does not speak.
pub(crate) fn is_wrong_version(error: &XenError) -> bool {
    matches!(error, XenError::Refused { source, .. }
        if source.raw_os_error() == Some(nix::libc::EACCES))
}

/// Numbers that Xen has written into a reply's union.
pub(crate) fn payload_u32(reply: &Reply, offset: usize) -> u32 {
    u32_at(reply.payload(), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_size_and_offsets_of_the_header() {
        let bytes = structure(Command::MaxVcpus, Version::V17, 7, &[0xaa]);
        assert_eq!(bytes.len(), 144);
        assert_eq!(u32_at(&bytes, 0), 15);
        assert_eq!(u32_at(&bytes, 4), 0x17);
        assert_eq!(bytes[8], 7);
        assert_eq!(bytes[16], 0xaa);
    }
}
