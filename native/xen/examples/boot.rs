// SPDX-License-Identifier: Apache-2.0
//! Boots a kernel in a domain of its own and copies its console to stdout, until it ends.
//!
//! `boot KERNEL COMMAND_LINE [RAMDISK] [MEBIBYTES] [VCPUS] [SECONDS]`, as root in dom0. `noxs=` is
//! not added: there is no back end here.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lightvm_xen::{Hypervisor, PrepareOptions, PreparedDomain, Step};
use nix::poll::{PollFd, PollFlags, poll};
use vm_memory::{Bytes, GuestAddress};

/// struct xencons_interface: the output ring and its two indices.
const OUT: u64 = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONS: u64 = 3080;
const OUT_PROD: u64 = 3084;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [kernel, command_line, ..] = arguments else {
        return Err("boot KERNEL COMMAND_LINE [RAMDISK] [MEBIBYTES] [VCPUS] [SECONDS]".into());
    };
    let ramdisk = arguments
        .get(2)
        .filter(|path| !path.is_empty())
        .map(File::open)
        .transpose()?;
    let number = |index: usize, default: u64| {
        arguments
            .get(index)
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let hypervisor = Hypervisor::open()?;
    eprintln!("{:?}", hypervisor.host_info()?);
    let options = PrepareOptions {
        uuid: *b"LVM1 boot sample",
        vcpus: u32::try_from(number(4, 1)?)?,
        memory_bytes: number(3, 64)? << 20,
        initial_bytes: number(3, 64)? << 20,
        device_slots: 8,
    };
    let domain = PreparedDomain::prepare(&hypervisor, &options)?;
    print_steps(domain.steps());
    let (kernel, steps) = domain.load(&File::open(kernel)?, ramdisk.as_ref())?;
    print_steps(&steps);
    print_steps(&[domain.write_boot_data(&kernel, command_line)?]);
    eprintln!("domain {} starts", domain.domid());
    hypervisor.unpause_domain(domain.domid())?;
    watch(&hypervisor, &domain, Duration::from_secs(number(5, 120)?))
}

fn print_steps(steps: &[Step]) {
    for step in steps {
        let Step {
            name,
            nanoseconds,
            hypercalls,
            bytes_copied,
        } = step;
        let microseconds = nanoseconds / 1000;
        eprintln!("{microseconds:>9} µs {hypercalls:>5} hypercalls {bytes_copied:>10} B  {name}");
    }
}

fn watch(
    hypervisor: &Hypervisor,
    domain: &PreparedDomain,
    limit: Duration,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while began.elapsed() < limit {
        let channels = domain.event_channels();
        let mut ready = [PollFd::new(channels.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, 200_u16)?;
        for port in channels.pending()? {
            channels.unmask(port)?;
        }
        drain(domain)?;
        let info = hypervisor
            .list_domains()?
            .into_iter()
            .find(|info| info.domid == domain.domid());
        let ended = info
            .as_ref()
            .is_none_or(|info| info.shutdown_reason.is_some());
        if ended {
            drain(domain)?;
            eprintln!("ended after {:?}: {info:?}", began.elapsed());
            return Ok(());
        }
    }
    Err("the guest has not ended in time".into())
}

fn drain(domain: &PreparedDomain) -> Result<(), Box<dyn Error>> {
    let memory = domain.memory();
    let at = |offset| GuestAddress(domain.console_ring().0 + offset);
    let produced: u32 = memory.read_obj(at(OUT_PROD))?;
    let mut consumed: u32 = memory.read_obj(at(OUT_CONS))?;
    let mut text = Vec::new();
    while consumed != produced && text.len() < OUT_SIZE as usize {
        text.push(memory.read_obj::<u8>(at(OUT + u64::from(consumed % OUT_SIZE)))?);
        consumed = consumed.wrapping_add(1);
    }
    if !text.is_empty() {
        memory.write_obj(consumed, at(OUT_CONS))?;
        domain
            .event_channels()
            .notify(domain.doorbells().console.local_port)?;
        std::io::stdout().write_all(&text)?;
    }
    Ok(())
}
