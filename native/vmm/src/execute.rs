// SPDX-License-Identifier: Apache-2.0
//! The second half of a create: kernel, ramdisk and devices in place. Memory writes, and the
//! event channels of the devices.

use std::rc::Rc;
use std::time::Instant;

use lightvm_devices::{
    Bus, BusError, BusOptions, ConsoleRing, Entropy, Sysctl, Vsock, VsockOptions,
};
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::{Breakdown, Execute, Executed, Load, breakdown};
use lightvm_protocol::{AGENT_CONTROL_PORT, AGENT_STREAM_PORT};
use lightvm_xen::{LoadedKernel, PreparedDomain};

use crate::failure::{Refusal, chain, invalid, wrong_phase};
use crate::files::HandedFiles;
use crate::guest::{Bells, BootLog, Console, Devices, Guest, Parts};
use crate::journal::Journal;
use crate::load::refuse;
use crate::prepare::{Shell, step_since, wire_step};

/// The first context id that is a guest's (virtio 1.2, 5.10.4).
const FIRST_GUEST_CID: u32 = 3;

impl Shell {
    /// Makes a guest of the shell. One that is not loaded yet is loaded by the same call; what it
    /// holds after a refusal is of use for another attempt only.
    pub(crate) fn execute(
        &mut self,
        request: &Execute,
        files: &mut HandedFiles,
    ) -> Result<(Guest, Executed), Refusal> {
        if (1..FIRST_GUEST_CID).contains(&request.vsock_cid) {
            return Err(invalid(format!(
                "{} is no guest's vsock address",
                request.vsock_cid
            )));
        }
        let mut steps = Vec::new();
        if request.kernel_file != 0 {
            let load = Load {
                kernel_file: request.kernel_file,
                ramdisk_file: request.ramdisk_file,
                ..Load::default()
            };
            steps = self.load(&load, files)?.breakdown.unwrap_or_default().steps;
        }
        let domain = Rc::clone(self.domain());
        let Some(cargo) = self.cargo() else {
            return Err(wrong_phase("no kernel is loaded"));
        };
        steps.push(write_boot_data(&domain, &cargo.kernel, request)?);
        let logs = [
            (request.boot_log_file, &mut cargo.boot_log),
            (request.journal_file, &mut cargo.journal),
        ];
        for (token, file) in logs {
            if let Some(named) = files.take_optional(token)? {
                *file = Some(named);
            }
        }
        let (boot_log, journal) = (cargo.boot_log.take(), cargo.journal.take());
        let began = Instant::now();
        let devices = plug_devices(&domain, request).map_err(|error| internal(&error))?;
        let ring = ConsoleRing::new(domain.memory().clone(), domain.console_ring())
            .map_err(|error| internal(&error))?;
        steps.push(step_since("plug devices", began));
        let guest = Guest::new(Parts {
            domain,
            devices,
            console: Console::new(ring, BootLog::new(boot_log), &request.console_container_id),
            journal: Journal::new(journal),
        });
        let breakdown = Some(Breakdown { steps });
        Ok((guest, Executed { breakdown }))
    }
}

fn write_boot_data(
    domain: &PreparedDomain,
    kernel: &LoadedKernel,
    request: &Execute,
) -> Result<breakdown::Step, Refusal> {
    let (region, _) = domain.noxs_region();
    let mut command_line = format!("{} noxs={:#x}", request.command_line, region.0);
    for (range, separator) in domain.later_memory().iter().zip([" noxs_memory=", ","]) {
        command_line += &format!("{separator}{:#x}-{:#x}", range.start, range.end);
    }
    domain
        .write_boot_data(kernel, command_line.trim_start())
        .map(|step| wire_step(&step))
        .map_err(|error| refuse(&error))
}

/// The devices that every guest has from the start. sysctl comes first: slot 0, id 1.
fn plug_devices(domain: &Rc<PreparedDomain>, request: &Execute) -> Result<Devices, BusError> {
    let (region, region_pages) = domain.noxs_region();
    let doorbells = domain.doorbells();
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
        notifier: Box::new(Bells(Rc::clone(domain))),
    })?;
    let sysctl = bus.plug(Box::new(Sysctl::new()))?;
    let mut vsock = None;
    if request.vsock_cid != 0 {
        let ports = [AGENT_CONTROL_PORT, AGENT_STREAM_PORT];
        let options = VsockOptions::new(request.vsock_cid, &ports);
        vsock = Some(bus.plug(Box::new(Vsock::new(options)))?);
    }
    if request.entropy_device {
        bus.plug(Box::new(Entropy::new()))?;
    }
    Ok(Devices { bus, sysctl, vsock })
}

fn internal(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Code::Internal, chain(error))
}
