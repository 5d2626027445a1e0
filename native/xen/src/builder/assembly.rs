// SPDX-License-Identifier: Apache-2.0
//! The steps of prepare. Each gives back what the next ones need.

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::domctl::CreateDomain;
use crate::error::XenError;
use crate::event_channel::{Doorbell, Doorbells, EventChannels, SlotDoorbell};
use crate::foreign::ForeignRange;
use crate::hypervisor::Hypervisor;
use crate::memory::{self, HvmParam};

use super::cpu_context::cpu_context;
use super::cpu_policy::{processor_signature, topology_changes};
use super::layout::{self, Layout, PAGE_SIZE};
use super::mp_table::mp_table;
use super::populate::populate;
use super::prepare::{BuildError, PrepareOptions};
use super::steps::{Step, StepRecorder};

/// SHUTDOWN_crash (public/sched.h).
const SHUTDOWN_CRASH: u64 = 3;

/// The least that Linux boots with: with one frame its list of grants has no room at all, and it
/// crashes. Our devices need no grants.
const MAX_GRANT_FRAMES: u32 = 2;
/// What Linux binds for itself on each vCPU: timer, IPIs, debugging; with room to spare.
const PORTS_A_VCPU: u32 = 16;

/// `cli; 1: hlt; jmp 1b`: a shell that is unpaused before it is loaded does nothing.
const HALT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];

/// A domain that is destroyed unless everything works out.
pub(super) struct UnfinishedDomain<'a> {
    hypervisor: &'a Hypervisor,
    domid: u16,
    kept: bool,
}

impl UnfinishedDomain<'_> {
    pub(super) fn keep(mut self) -> u16 {
        self.kept = true;
        self.domid
    }
}

impl Drop for UnfinishedDomain<'_> {
    fn drop(&mut self) {
        if !self.kept {
            destroy(self.hypervisor, self.domid);
        }
    }
}

/// Nobody can be told of a failure here. The node's toolstack finds domains that nobody owns.
pub(super) fn destroy(hypervisor: &Hypervisor, domid: u16) {
    drop(hypervisor.destroy_domain(domid));
}

/// The steps of prepare, in their order.
pub(super) struct Assembly<'a> {
    hypervisor: &'a Hypervisor,
    options: &'a PrepareOptions,
    recorder: StepRecorder,
    /// EAX of CPUID's leaf 1; known once the domain's CPU policy is.
    signature: u32,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(hypervisor: &'a Hypervisor, options: &'a PrepareOptions) -> Self {
        Self {
            hypervisor,
            options,
            recorder: StepRecorder::start(hypervisor.hypercalls()),
            signature: 0,
        }
    }

    pub(super) fn finish(self) -> Vec<Step> {
        self.recorder.finish()
    }

    pub(super) fn create(&mut self) -> Result<UnfinishedDomain<'a>, BuildError> {
        let PrepareOptions {
            uuid,
            vcpus,
            device_slots,
            ..
        } = *self.options;
        let options = CreateDomain {
            uuid,
            max_vcpus: vcpus,
            // The page's doorbell, the console and a few that a guest opens later.
            max_event_channel_port: device_slots + PORTS_A_VCPU * (vcpus + 1),
            max_grant_frames: MAX_GRANT_FRAMES,
        };
        let created = self.hypervisor.domctl().create_domain(&options);
        let domid = created.map_err(self.failed("create the domain"))?;
        self.done("create domain", 0);
        Ok(UnfinishedDomain {
            hypervisor: self.hypervisor,
            domid,
            kept: false,
        })
    }

    /// Everything that is a number to Xen.
    pub(super) fn size(&mut self, domain: &UnfinishedDomain<'_>) -> Result<(), BuildError> {
        let domid = domain.domid;
        let domctl = self.hypervisor.domctl();
        let vcpus = domctl.max_vcpus(domid, self.options.vcpus);
        vcpus.map_err(self.failed("allocate the vCPUs"))?;
        let leaves = domctl.cpuid_leaves(domid);
        let leaves = leaves.map_err(self.failed("get the CPU policy"))?;
        self.signature = processor_signature(&leaves);
        let policy = domctl.set_cpuid_leaves(domid, &topology_changes(&leaves));
        policy.map_err(self.failed("set the CPU policy"))?;
        domctl
            .set_tsc_native(domid)
            .map_err(self.failed("set the TSC mode"))?;
        let clock = domctl.set_time_utc(domid);
        clock.map_err(self.failed("set the clock"))?;
        let limit = domctl.max_memory(domid, self.options.memory_bytes);
        limit.map_err(self.failed("limit the memory"))?;
        let mempool = paging_mempool(self.options.vcpus, self.options.memory_bytes);
        let mempool = domctl.set_paging_mempool(domid, mempool);
        mempool.map_err(self.failed("allocate memory for page tables"))?;
        self.done("set limits", 0);
        Ok(())
    }

    pub(super) fn populate(
        &mut self,
        domain: &UnfinishedDomain<'_>,
        layout: &Layout,
    ) -> Result<(), BuildError> {
        let privcmd = self.hypervisor.privcmd();
        for range in layout.memory_in(0..layout.initial_end) {
            let complete = populate(&range, |order, starts| {
                memory::populate(privcmd, domain.domid, order, starts)
            });
            if !complete.map_err(self.failed("give the domain memory"))? {
                return Err(BuildError::NoMemory {
                    wanted: self.options.initial_bytes,
                });
            }
        }
        let map = memory::set_memory_map(privcmd, domain.domid, &layout.memory_map());
        map.map_err(self.failed("set the memory map"))?;
        self.done("populate memory", 0);
        Ok(())
    }

    pub(super) fn connect(
        &mut self,
        domain: &UnfinishedDomain<'_>,
        layout: &Layout,
    ) -> Result<(EventChannels, Doorbells), BuildError> {
        let privcmd = self.hypervisor.privcmd();
        let domid = domain.domid;
        let channels = EventChannels::open().map_err(self.failed("open event channels"))?;
        let guest_port = || memory::allocate_event_channel(privcmd, domid);
        let doorbell = || {
            let guest_port = guest_port()?;
            privcmd.add_to_count(1);
            let local_port = channels.bind(domid, guest_port)?;
            Ok(Doorbell {
                guest_port,
                local_port,
            })
        };
        let doorbells = (|| {
            let header = doorbell()?;
            let slots = (0..self.options.device_slots).map(|_| guest_port().map(SlotDoorbell::new));
            let slots: Vec<_> = slots.collect::<Result<_, XenError>>()?;
            // There is a device in the first slot of every guest; this is the time to be slow.
            slots[0].connect(&channels, domid)?;
            privcmd.add_to_count(1);
            Ok(Doorbells {
                header,
                slots,
                console: doorbell()?,
            })
        })()
        .map_err(self.failed("bind event channels"))?;
        // HVM_PARAM_STORE_PFN stays 0: there is no XenStore, and Linux takes that for an answer.
        let console = u64::from(doorbells.console.guest_port);
        let frame = layout.console / PAGE_SIZE;
        memory::set_hvm_param(privcmd, domid, HvmParam::ConsolePfn, frame)
            .and_then(|()| memory::set_hvm_param(privcmd, domid, HvmParam::ConsoleEvtchn, console))
            .map_err(self.failed("set up the console"))?;
        // Xen would say that the guest asked for a reboot.
        memory::set_hvm_param(privcmd, domid, HvmParam::TripleFaultReason, SHUTDOWN_CRASH)
            .map_err(self.failed("make a triple fault a crash"))?;
        self.done("bind event channels", 0);
        Ok((channels, doorbells))
    }

    pub(super) fn map(
        &mut self,
        domain: &UnfinishedDomain<'_>,
        layout: &Layout,
    ) -> Result<(GuestMemoryMmap, Vec<ForeignRange>), BuildError> {
        let privcmd = self.hypervisor.privcmd();
        // All maps first: those of a failed attempt go away before the domain does.
        let mapped = layout.memory.iter().map(|range| {
            let mut mapping = ForeignRange::reserve(range.clone())?;
            let requests = mapping.map_up_to(privcmd, domain.domid, layout.initial_end)?;
            privcmd.add_to_count(requests);
            Ok(mapping)
        });
        let mapped = mapped.collect::<Result<Vec<_>, _>>();
        let mut mapped = mapped.map_err(self.failed("map the domain's memory"))?;
        let regions = mapped.iter_mut().map(ForeignRange::region);
        let regions = regions.collect::<Result<Vec<_>, _>>();
        let regions = regions.map_err(self.failed("map the domain's memory"))?;
        let memory = GuestMemoryMmap::from_regions(regions).map_err(|_| BuildError::Layout)?;
        self.done("map memory", 0);
        Ok((memory, mapped))
    }

    /// What the vCPUs find when they start: the tables, the trampoline and their registers.
    pub(super) fn set_processors(
        &mut self,
        domain: &UnfinishedDomain<'_>,
        memory: &GuestMemoryMmap,
    ) -> Result<(), BuildError> {
        let vcpus = self.options.vcpus;
        let table = mp_table(layout::MP_TABLE, vcpus);
        let write = |bytes: &[u8], address| {
            memory
                .write_slice(bytes, GuestAddress(address))
                .map_err(|_| BuildError::Layout)
        };
        write(&table, layout::MP_TABLE)?;
        write(&HALT, layout::TRAMPOLINE)?;
        let context = cpu_context(
            vcpus,
            self.signature,
            layout::TRAMPOLINE,
            layout::START_INFO,
        );
        let set = self
            .hypervisor
            .domctl()
            .set_hvm_context(domain.domid, &context);
        set.map_err(self.failed("set the vCPUs' registers"))?;
        self.done("set processors", (table.len() + HALT.len()) as u64);
        Ok(())
    }

    fn done(&mut self, name: &'static str, bytes_copied: u64) {
        self.recorder
            .done(name, self.hypervisor.hypercalls(), bytes_copied);
    }

    fn failed(&self, step: &'static str) -> impl FnOnce(XenError) -> BuildError + use<> {
        let wanted = self.options.initial_bytes;
        move |source| match source.is_out_of_memory() {
            true => BuildError::NoMemory { wanted },
            false => BuildError::Step { step, source },
        }
    }
}

/// Pages for nested page tables that a domain needs whatever its size is: the levels above the tables
/// for its RAM, those for the local APIC, shared info and grants, and the roots that Xen makes for
/// nested virtualization and altp2m, which no guest of ours uses.
const PAGING_BASE: u64 = 64;
/// Of each vCPU: a monitor table and what belongs to it.
const PAGING_A_VCPU: u64 = 4;

/// Memory for nested page tables: tables for all RAM in small pages, as a guest can have each of its
/// superpages split, and the base. libxl gives 1 MiB a vCPU and a page a MiB, of which a guest
/// without devices of Xen's never uses more than a few.
fn paging_mempool(vcpus: u32, memory_bytes: u64) -> u64 {
    let tables = memory_bytes.div_ceil(2 << 20) + memory_bytes.div_ceil(1 << 30);
    (PAGING_BASE + PAGING_A_VCPU * u64::from(vcpus) + tables) * PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memory_can_be_split_into_small_pages() {
        assert_eq!(paging_mempool(1, 2 << 20), (64 + 4 + 1 + 1) * 4096);
        assert_eq!(paging_mempool(2, 4 << 30), (64 + 8 + 2048 + 4) * 4096);
    }
}
