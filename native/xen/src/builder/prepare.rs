// SPDX-License-Identifier: Apache-2.0
//! The privileged half of building a domain. Everything that it makes is undone when a step fails.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::error::XenError;
use crate::event_channel::{Doorbells, EventChannels};
use crate::fault::explain_faults;
use crate::foreign::ForeignRange;
use crate::hypervisor::Hypervisor;

use super::assembly::{Assembly, destroy};
use super::layout::{self, Layout, PAGE_SIZE};
use super::steps::Step;

const MAX_VCPUS: u32 = 64;
const MAX_SLOTS: u32 = 63;

/// The size of a domain to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOptions {
    /// The domain's handle.
    pub uuid: [u8; 16],
    /// vCPUs, 1 to 64.
    pub vcpus: u32,
    /// Memory in bytes: a multiple of 4096, 2 MiB at least.
    pub memory_bytes: u64,
    /// What of it is there from the start, at least 2 MiB; the guest asks Xen for the rest.
    pub initial_bytes: u64,
    /// Device slots of the noxs region, 1 to 63.
    pub device_slots: u32,
}

/// Why no domain was prepared. What was made of it has been destroyed; pages that were already
/// mapped go when this process ends.
#[derive(Debug)]
pub enum BuildError {
    /// An option is out of its range.
    Invalid(&'static str),
    /// Xen has too little free memory.
    NoMemory {
        /// Bytes that were wanted.
        wanted: u64,
    },
    /// Xen refused a step.
    Step {
        /// What was being done.
        step: &'static str,
        /// What Xen said.
        source: XenError,
    },
    /// Guest memory could not be laid out; a mistake of this program.
    Layout,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => write!(f, "{what}"),
            Self::NoMemory { wanted } => {
                write!(
                    f,
                    "Xen has not enough free memory for a domain of {wanted} bytes"
                )
            }
            Self::Step { step, .. } => write!(f, "cannot {step}"),
            Self::Layout => write!(f, "cannot lay out the guest's memory"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Step { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A domain that exists, paused, with memory, event channels and a vCPU that waits at an idle
/// trampoline. Dropping it destroys the domain unless the right to do so has been given away.
#[derive(Debug)]
pub struct PreparedDomain {
    domid: u16,
    /// `None` once restricted.
    hypervisor: Option<Hypervisor>,
    pub(super) layout: Layout,
    pub(super) memory: GuestMemoryMmap,
    growth: Mutex<Growth>,
    event_channels: EventChannels,
    doorbells: Doorbells,
    steps: Vec<Step>,
}

/// The way to memory that the guest gets later.
#[derive(Debug)]
struct Growth {
    mapped: Vec<ForeignRange>,
    /// A privcmd that can map this domain's memory and nothing else; `None` before the domain is
    /// restricted, and when all of its memory is there.
    privcmd: Option<File>,
}

impl PreparedDomain {
    /// Makes the domain and all that its life needs. The guest's memory stays mapped until this
    /// process ends, whatever becomes of the domain.
    pub fn prepare(hypervisor: &Hypervisor, options: &PrepareOptions) -> Result<Self, BuildError> {
        check(options)?;
        let layout = Layout::new(
            options.memory_bytes,
            options.initial_bytes,
            options.device_slots,
        );
        let mut assembly = Assembly::new(hypervisor, options);
        let domain = assembly.create()?;
        assembly.size(&domain)?;
        assembly.populate(&domain, &layout)?;
        let (event_channels, doorbells) = assembly.connect(&domain, &layout)?;
        let (memory, mapped) = assembly.map(&domain, &layout)?;
        assembly.set_processors(&domain, &memory)?;
        Ok(Self {
            domid: domain.keep(),
            hypervisor: Some(hypervisor.clone()),
            layout,
            memory,
            growth: Mutex::new(Growth {
                mapped,
                privcmd: None,
            }),
            event_channels,
            doorbells,
            steps: assembly.finish(),
        })
    }

    /// Xen's number of the domain.
    pub fn domid(&self) -> u16 {
        self.domid
    }

    /// The guest's memory; copies of it are cheap.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Address and number of pages of the noxs region, which is all zeros.
    pub fn noxs_region(&self) -> (GuestAddress, u32) {
        let Range { start, end } = self.layout.noxs;
        (GuestAddress(start), ((end - start) / PAGE_SIZE) as u32)
    }

    /// Address of the page of Xen's console ring (public/io/console.h), which is all zeros.
    pub fn console_ring(&self) -> GuestAddress {
        GuestAddress(self.layout.console)
    }

    /// The channels that [`Self::doorbells`] lists.
    pub fn event_channels(&self) -> &EventChannels {
        &self.event_channels
    }

    /// Which channel is for what.
    pub fn doorbells(&self) -> &Doorbells {
        &self.doorbells
    }

    /// Binds the near end of a slot's channel, unless it is bound: also possible once restricted. There
    /// is no slot of another number than [`Self::doorbells`] has.
    pub fn connect_slot(&self, slot: usize) -> Result<(), XenError> {
        self.doorbells.slots[slot].connect(&self.event_channels, self.domid)
    }

    /// What preparing cost.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The ranges of addresses that the guest fills with memory itself, in this order; none when it
    /// has all of its memory.
    pub fn later_memory(&self) -> Vec<Range<u64>> {
        let later = self.layout.initial_end..self.layout.end();
        self.layout.memory_in(later).collect()
    }

    /// Maps memory that the guest has got since, up to `end`; what lies behind [`Self::later_memory`]
    /// is ignored. An error when some of it is not there.
    pub fn map_up_to(&self, end: u64) -> Result<(), XenError> {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let Growth { mapped, privcmd } = &mut *growth;
        if let Some(privcmd) = privcmd {
            for range in mapped {
                range.map_up_to(privcmd, self.domid, end)?;
            }
        }
        Ok(())
    }

    /// Gives the rights away that prepare needed, for this process and for good: no hypercall, no
    /// memory and no event channel of another domain, also not through copies of the
    /// [`Hypervisor`] that prepared this domain. What is left, and only when the guest can get more
    /// memory, is the right to map that.
    pub fn restrict(&mut self) -> Result<(), XenError> {
        if let Some(hypervisor) = &self.hypervisor {
            let grows = !self.later_memory().is_empty();
            let growth = self.growth.get_mut();
            let growth = growth.unwrap_or_else(PoisonError::into_inner);
            let addresses: Vec<_> = growth.mapped.iter().map(ForeignRange::addresses).collect();
            explain_faults(&addresses)?;
            self.event_channels.restrict(self.domid)?;
            let privcmd = hypervisor.privcmd().restrict(self.domid)?;
            growth.privcmd = grows.then_some(privcmd);
            self.hypervisor = None;
        }
        Ok(())
    }
}

impl Drop for PreparedDomain {
    fn drop(&mut self) {
        if let Some(hypervisor) = &self.hypervisor {
            destroy(hypervisor, self.domid);
        }
    }
}

fn check(options: &PrepareOptions) -> Result<(), BuildError> {
    let sizes = layout::MIN_MEMORY..=layout::MAX_MEMORY;
    if !(1..=MAX_VCPUS).contains(&options.vcpus) {
        return Err(BuildError::Invalid("a domain has 1 to 64 vCPUs"));
    }
    if !(1..=MAX_SLOTS).contains(&options.device_slots) {
        return Err(BuildError::Invalid("a domain has 1 to 63 device slots"));
    }
    let is_size = |bytes: u64| bytes % PAGE_SIZE == 0 && sizes.contains(&bytes);
    if !is_size(options.memory_bytes) || !is_size(options.initial_bytes) {
        return Err(BuildError::Invalid(
            "memory is a multiple of 4096 bytes, 2 MiB at least",
        ));
    }
    if options.initial_bytes > options.memory_bytes {
        return Err(BuildError::Invalid(
            "a domain starts with no more memory than it may have",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_before_anything_is_made() {
        let good = PrepareOptions {
            uuid: [0; 16],
            vcpus: 1,
            memory_bytes: 64 << 20,
            initial_bytes: 16 << 20,
            device_slots: 8,
        };
        assert!(check(&good).is_ok());
        for bad in [
            PrepareOptions { vcpus: 0, ..good },
            PrepareOptions { vcpus: 65, ..good },
            PrepareOptions {
                device_slots: 64,
                ..good
            },
            PrepareOptions {
                memory_bytes: (64 << 20) + 1,
                ..good
            },
            PrepareOptions {
                memory_bytes: 1 << 20,
                initial_bytes: 1 << 20,
                ..good
            },
            PrepareOptions {
                memory_bytes: 8 << 20,
                ..good
            },
            PrepareOptions {
                initial_bytes: (16 << 20) + 1,
                ..good
            },
            PrepareOptions {
                memory_bytes: u64::MAX - 4095,
                ..good
            },
        ] {
            assert!(matches!(check(&bad), Err(BuildError::Invalid(_))));
        }
    }
}
