// SPDX-License-Identifier: Apache-2.0
//! The words of the sysctl device.

use lightvm_abi::{
    SYSCTL_ALIVE, SYSCTL_EXITING, SYSCTL_PANICKED, SYSCTL_POWEROFF, SYSCTL_REBOOT,
    SYSCTL_RESTARTING, SYSCTL_SUSPEND,
};

/// What the VMM asks of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Shut down in good order.
    Poweroff,
    /// Restart in good order.
    Reboot,
    /// Stop and keep everything.
    Suspend,
}

impl HostRequest {
    pub(super) fn word(self) -> u32 {
        match self {
            Self::Poweroff => SYSCTL_POWEROFF,
            Self::Reboot => SYSCTL_REBOOT,
            Self::Suspend => SYSCTL_SUSPEND,
        }
    }
}

/// What the guest says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestState {
    /// First sign of life.
    Alive,
    /// About to power off.
    Exiting,
    /// About to reboot.
    Restarting,
    /// Its kernel panicked.
    Panicked,
}

impl GuestState {
    /// The state that a word stands for, if a guest may say it.
    pub(super) fn from_word(word: u32) -> Option<Self> {
        match word {
            SYSCTL_ALIVE => Some(Self::Alive),
            SYSCTL_EXITING => Some(Self::Exiting),
            SYSCTL_RESTARTING => Some(Self::Restarting),
            SYSCTL_PANICKED => Some(Self::Panicked),
            _ => None,
        }
    }
}
