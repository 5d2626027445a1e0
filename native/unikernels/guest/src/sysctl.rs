// SPDX-License-Identifier: Apache-2.0
//! The sysctl device: what the VMM asks of us, and what we say of ourselves.

use lightvm_abi::{
    SYSCTL_ALIVE, SYSCTL_EXITING, SYSCTL_PANICKED, SYSCTL_POWEROFF, SYSCTL_REBOOT, TYPE_SYSCTL,
};
use unikernel_platform::notify;

use crate::control_page::ControlPage;
use crate::region::Region;

/// What a guest says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Word {
    /// The first sign of life.
    Alive = SYSCTL_ALIVE,
    /// About to power off.
    Exiting = SYSCTL_EXITING,
    /// About to crash.
    Panicked = SYSCTL_PANICKED,
}

/// What the VMM asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Shut down in good order. A unikernel does not restart by itself: asked to reboot it ends as
    /// well, and whoever wants it again starts it again.
    PowerOff,
}

/// The sysctl device of this guest.
#[derive(Clone, Copy, Debug)]
pub struct Sysctl {
    control: ControlPage,
    port: u32,
    /// Sequence number of the last request that was obeyed.
    heard: u32,
}

impl Sysctl {
    /// The device, if there is one.
    pub fn find(region: &Region) -> Option<Self> {
        let device = region.device(TYPE_SYSCTL)?;
        Some(Self {
            control: device.control,
            port: device.port,
            heard: 0,
        })
    }

    /// The device's event channel.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Says something, and rings.
    pub fn say(&self, word: Word) {
        let sequence = (self.control.front_config() as u32).wrapping_add(1);
        self.control
            .set_front_config(u64::from(sequence) | (u64::from(word as u32) << 32));
        notify(self.port);
    }

    /// What the VMM has asked since the last time.
    pub fn asked(&mut self) -> Option<Request> {
        let both: u64 = self.control.config(0)?;
        let sequence = both as u32;
        if sequence == self.heard {
            return None;
        }
        self.heard = sequence;
        matches!((both >> 32) as u32, SYSCTL_POWEROFF | SYSCTL_REBOOT).then_some(Request::PowerOff)
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use lightvm_abi::{ControlPage as Layout, SYSCTL_SUSPEND};

    use super::*;
    use crate::test_pages::reset;

    #[test]
    fn each_request_is_heard_once_and_unknown_ones_are_not_obeyed() {
        let [page, ..] = reset();
        let mut sysctl = Sysctl {
            control: ControlPage::new(page),
            port: 1,
            heard: 0,
        };
        let ask = |sequence: u64, word: u32| {
            page.store(
                offset_of!(Layout, back.config),
                sequence | (u64::from(word) << 32),
            );
        };
        assert_eq!(sysctl.asked(), None);
        ask(1, SYSCTL_SUSPEND);
        assert_eq!(sysctl.asked(), None);
        ask(2, SYSCTL_POWEROFF);
        assert_eq!(sysctl.asked(), Some(Request::PowerOff));
        assert_eq!(sysctl.asked(), None);
        ask(3, SYSCTL_REBOOT);
        assert_eq!(sysctl.asked(), Some(Request::PowerOff));
    }
}
