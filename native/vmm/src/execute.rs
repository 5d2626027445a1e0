// SPDX-License-Identifier: Apache-2.0
//! The second half of a create: kernel, ramdisk and devices in place. Memory writes only.

use std::rc::Rc;
use std::time::Instant;

use lightvm_devices::{
    Bell, Bus, BusError, BusOptions, ConsoleRing, DeviceId, Entropy, Sysctl, Vsock, VsockOptions,
};
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::{Breakdown, Execute, Executed, breakdown as wire};
use lightvm_protocol::{AGENT_CONTROL_PORT, AGENT_STREAM_PORT};
use lightvm_xen::{LoadError, PreparedDomain};

use crate::failure::{Refusal, chain, invalid};
use crate::files::HandedFiles;
use crate::guest::{BootLog, Guest, Parts, ring_bell};
use crate::journal::Journal;
use crate::prepare::{Shell, breakdown};

/// The first context id that is a guest's (virtio 1.2, 5.10.4).
const FIRST_GUEST_CID: u32 = 3;

impl Shell {
    /// Loads the guest. After a refusal the domain's memory holds nobody knows what: it is of use
    /// for another attempt only.
    pub(crate) fn execute(
        &self,
        request: &Execute,
        files: &mut HandedFiles,
    ) -> Result<(Guest, Executed), Refusal> {
        if (1..FIRST_GUEST_CID).contains(&request.vsock_cid) {
            return Err(invalid(format!(
                "{} is no guest's vsock address",
                request.vsock_cid
            )));
        }
        let domain = self.domain();
        let mut breakdown = load(domain, request, files)?;
        let boot_log = BootLog::new(files.take_optional(request.boot_log_file)?);
        let journal = Journal::new(files.take_optional(request.journal_file)?);
        let began = Instant::now();
        let (bus, vsock) = plug_devices(domain, request).map_err(|error| internal(&error))?;
        let console = ConsoleRing::new(domain.memory().clone(), domain.console_ring())
            .map_err(|error| internal(&error))?;
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let name = "plug devices".into();
        breakdown.steps.push(wire::Step {
            name,
            nanoseconds,
            ..wire::Step::default()
        });
        let domain = Rc::clone(domain);
        let guest = Guest::new(Parts {
            domain,
            bus,
            vsock,
            console,
            boot_log,
            journal,
        });
        Ok((
            guest,
            Executed {
                breakdown: Some(breakdown),
            },
        ))
    }
}

fn load(
    domain: &PreparedDomain,
    request: &Execute,
    files: &mut HandedFiles,
) -> Result<Breakdown, Refusal> {
    let kernel = files.take(request.kernel_file)?;
    let ramdisk = files.take_optional(request.ramdisk_file)?;
    let (region, _) = domain.noxs_region();
    let command_line = format!("{} noxs={:#x}", request.command_line, region.0);
    let steps = domain.load(&kernel, ramdisk.as_ref(), command_line.trim_start());
    steps
        .map(|steps| breakdown(&steps))
        .map_err(|error| refuse(&error))
}

/// The devices that every guest has from the start. sysctl comes first: slot 0, id 1.
fn plug_devices(
    domain: &Rc<PreparedDomain>,
    request: &Execute,
) -> Result<(Bus, Option<DeviceId>), BusError> {
    let (region, region_pages) = domain.noxs_region();
    let doorbells = domain.doorbells();
    let ringing = Rc::clone(domain);
    let mut bus = Bus::new(BusOptions {
        memory: domain.memory().clone(),
        region,
        region_pages,
        page_port: doorbells.header.guest_port,
        slot_ports: doorbells
            .slots
            .iter()
            .map(|doorbell| doorbell.guest_port)
            .collect(),
        notifier: Box::new(move |bell: Bell| ring_bell(&ringing, bell)),
    })?;
    bus.plug(Box::new(Sysctl::new()))?;
    let mut vsock = None;
    if request.vsock_cid != 0 {
        let ports = [AGENT_CONTROL_PORT, AGENT_STREAM_PORT];
        let options = VsockOptions::new(request.vsock_cid, &ports);
        vsock = Some(bus.plug(Box::new(Vsock::new(options)))?);
    }
    if request.entropy_device {
        bus.plug(Box::new(Entropy::new()))?;
    }
    Ok((bus, vsock))
}

fn internal(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Code::Internal, chain(error))
}

fn refuse(error: &LoadError) -> Refusal {
    let code = match error {
        LoadError::Kernel(_) | LoadError::RamdiskTooLarge { .. } => Code::BadKernel,
        LoadError::CommandLine => Code::Invalid,
        LoadError::Read { .. } | LoadError::Memory(_) => Code::Internal,
    };
    Refusal::new(code, chain(error))
}
