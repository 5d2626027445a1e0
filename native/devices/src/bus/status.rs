// SPDX-License-Identifier: Apache-2.0
//! The virtio device status field (virtio 1.2, 2.1).

/// Device status with no bits but virtio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    pub(super) const RESET: Self = Self(0);
    const ACKNOWLEDGE: u32 = 1;
    const DRIVER: u32 = 2;
    const DRIVER_OK: u32 = 4;
    const FEATURES_OK: u32 = 8;
    const NEEDS_RESET: u32 = 64;
    const FAILED: u32 = 128;
    const KNOWN: u32 = Self::ACKNOWLEDGE
        | Self::DRIVER
        | Self::DRIVER_OK
        | Self::FEATURES_OK
        | Self::NEEDS_RESET
        | Self::FAILED;

    /// The status with these bits, if virtio knows them all.
    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        (bits & !Self::KNOWN == 0).then_some(Self(bits))
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn is_reset(self) -> bool {
        self.0 == 0
    }

    pub(super) fn driver_ok(self) -> bool {
        self.0 & Self::DRIVER_OK != 0
    }

    pub(super) fn features_ok(self) -> bool {
        self.0 & Self::FEATURES_OK != 0
    }

    pub(super) fn without_features_ok(self) -> Self {
        Self(self.0 & !Self::FEATURES_OK)
    }

    pub(super) fn with_needs_reset(self) -> Self {
        Self(self.0 | Self::NEEDS_RESET)
    }

    /// A driver may echo NEEDS_RESET from what it read; it is ours to say.
    pub(super) fn without_needs_reset(self) -> Self {
        Self(self.0 & !Self::NEEDS_RESET)
    }
}
