// SPDX-License-Identifier: Apache-2.0
use crate::error::XenError;
use crate::fields::Fields;

use super::{Command, Domctl};

/// XEN_DOMCTL_SCHEDOP_putinfo.
const PUT_INFO: u32 = 0;

/// The schedulers of Xen that know weights and caps: XEN_SCHEDULER_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Scheduler {
    Credit = 5,
    Credit2 = 6,
}

/// What a domain gets of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShare {
    /// Against the weights of others while CPUs are short; a new domain has 256. Not 0.
    pub weight: u16,
    /// Most that all vCPUs together get, in percent of one CPU; 0 is no limit. Xen refuses more than
    /// 100 a vCPU.
    pub cap_percent: u16,
}

impl Scheduler {
    /// The scheduler that Xen means by a number; `None` for one without weights and caps.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        [Self::Credit, Self::Credit2]
            .into_iter()
            .find(|&scheduler| scheduler as u32 == id)
    }
}

impl Domctl<'_> {
    /// Sets a domain's weight and cap. Both schedulers have them at the same places.
    pub(crate) fn share_cpu(
        &self,
        domid: u16,
        scheduler: Scheduler,
        share: CpuShare,
    ) -> Result<(), XenError> {
        let payload = Fields::new()
            .u32(scheduler as u32)
            .u32(PUT_INFO)
            .u16(share.weight)
            .u16(share.cap_percent)
            .build();
        self.issue("scheduler_op", Command::SchedulerOp, domid, &payload)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_schedulers_with_caps_are_known() {
        assert_eq!(Scheduler::from_id(5), Some(Scheduler::Credit));
        assert_eq!(Scheduler::from_id(6), Some(Scheduler::Credit2));
        // arinc653, rtds and null.
        for id in [7, 8, 9] {
            assert_eq!(Scheduler::from_id(id), None);
        }
    }
}
