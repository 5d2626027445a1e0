// SPDX-License-Identifier: Apache-2.0
//! One device's control page: writes the back half, turns the front half into checked types.

use std::mem::{offset_of, size_of};

use lightvm_abi::{
    CONFIG_SIZE, ControlPage as Layout, FRONT_RELEASED, MAX_QUEUES, Queue as QueueLayout, Sysctl,
};

use vm_memory::GuestAddress;

use super::status::Status;
use crate::device::DeviceError;
use crate::page::Page;

/// A virtqueue as the guest set it up. Sizes are checked, addresses aligned but not yet resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSetup {
    pub(crate) max: u16,
    pub(crate) size: u16,
    pub(crate) descriptors: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
}

/// A request of the guest that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) number: u32,
    pub(super) status: Status,
    pub(super) released: bool,
}

/// The driver's configuration area, read field by field.
pub struct FrontConfig<'a>(&'a ControlPage);

impl FrontConfig<'_> {
    /// The sysctl device's (sequence, word), read at once.
    pub(crate) fn sysctl(&self) -> (u32, u32) {
        const { assert!(offset_of!(Sysctl, sequence) == 0 && offset_of!(Sysctl, word) == 4) };
        let both = u64::from_le(self.0.page.load(offset_of!(Layout, front.config)));
        (both as u32, (both >> 32) as u32)
    }

    /// Where the guest's memory ends, as it says through the sysctl device.
    pub(crate) fn memory_end(&self) -> u64 {
        let offset = offset_of!(Layout, front.config) + offset_of!(Sysctl, memory_end);
        u64::from_le(self.0.page.load(offset))
    }
}

/// One control page.
pub(super) struct ControlPage {
    page: Page,
    /// What is in the back half's configuration area; it is never read back.
    config: [u8; CONFIG_SIZE],
    config_generation: u32,
}

impl ControlPage {
    /// Zeroes the page and describes a device in its back half.
    pub(super) fn new(page: Page, features: u64, queue_sizes: &[u16], config: &[u8]) -> Self {
        debug_assert!(queue_sizes.len() <= MAX_QUEUES);
        page.clear();
        page.store(offset_of!(Layout, back.features), features.to_le());
        let count = queue_sizes.len() as u32;
        page.store(offset_of!(Layout, back.queue_count), count.to_le());
        for (index, size) in queue_sizes.iter().enumerate() {
            let offset = offset_of!(Layout, back.queue_max) + index * size_of::<u16>();
            page.store(offset, size.to_le());
        }
        let mut control = Self {
            page,
            config: [0; CONFIG_SIZE],
            config_generation: 0,
        };
        control.write_config(config);
        control
    }

    pub(super) fn address(&self) -> GuestAddress {
        self.page.address()
    }

    pub(super) fn front_config(&self) -> FrontConfig<'_> {
        FrontConfig(self)
    }

    /// A request other than `answered`, or what is wrong with it.
    pub(super) fn request(&self, answered: u32) -> Result<Option<Request>, (u32, DeviceError)> {
        let number = u32::from_le(self.page.load(offset_of!(Layout, front.request)));
        if number == answered {
            return Ok(None);
        }
        let flags = u32::from_le(self.page.load(offset_of!(Layout, front.flags)));
        if flags & !FRONT_RELEASED != 0 {
            return Err((number, DeviceError::ControlPage("unknown flags")));
        }
        Ok(Some(Request {
            number,
            status: self.status().map_err(|error| (number, error))?,
            released: flags & FRONT_RELEASED != 0,
        }))
    }

    /// The status as the driver sets it.
    pub(super) fn status(&self) -> Result<Status, DeviceError> {
        let bits = u32::from_le(self.page.load(offset_of!(Layout, front.status)));
        Status::from_bits(bits).ok_or(DeviceError::ControlPage("unknown status bits"))
    }

    /// The feature bits that the driver accepts.
    pub(super) fn features(&self) -> u64 {
        u64::from_le(self.page.load(offset_of!(Layout, front.features)))
    }

    /// The queues that the driver has set up, one for each of the device's.
    pub(super) fn queues(&self, maxima: &[u16]) -> Result<Vec<Option<QueueSetup>>, DeviceError> {
        maxima
            .iter()
            .enumerate()
            .map(|(index, max)| self.queue(index, *max))
            .collect()
    }

    fn queue(&self, index: usize, max: u16) -> Result<Option<QueueSetup>, DeviceError> {
        let mut bytes = [0; size_of::<QueueLayout>()];
        let offset = offset_of!(Layout, front.queues) + index * bytes.len();
        self.page.read(offset, &mut bytes);
        parse_queue(&bytes, max)
    }

    /// Answers request `number`.
    pub(super) fn answer(&self, number: u32, status: Status) {
        self.show_status(status);
        self.page
            .store(offset_of!(Layout, back.ack), number.to_le());
    }

    /// Tells the driver that the device is broken.
    pub(super) fn show_broken(&mut self, status: Status) {
        self.show_status(status);
        self.bump_generation();
    }

    /// Writes what is new in the configuration; true when something was.
    pub(super) fn update_config(&mut self, config: &[u8]) -> bool {
        let changed = self.write_config(config);
        if changed {
            self.bump_generation();
        }
        changed
    }

    fn show_status(&self, status: Status) {
        self.page
            .store(offset_of!(Layout, back.status), status.bits().to_le());
    }

    fn bump_generation(&mut self) {
        self.config_generation = self.config_generation.wrapping_add(1);
        self.page.store(
            offset_of!(Layout, back.config_generation),
            self.config_generation.to_le(),
        );
    }

    /// In aligned words of eight bytes, because the guest may be reading.
    fn write_config(&mut self, config: &[u8]) -> bool {
        let mut changed = false;
        let words = self.config.chunks_exact_mut(8).zip(config.chunks(8));
        for (index, (old, new)) in words.enumerate() {
            let mut word = [0; 8];
            word[..new.len()].copy_from_slice(new);
            if *old != word {
                old.copy_from_slice(&word);
                let offset = offset_of!(Layout, back.config) + index * 8;
                self.page.store(offset, u64::from_ne_bytes(word));
                changed = true;
            }
        }
        changed
    }
}

/// One queue of the front half, from its 32 bytes.
pub(super) fn parse_queue(
    bytes: &[u8; size_of::<QueueLayout>()],
    max: u16,
) -> Result<Option<QueueSetup>, DeviceError> {
    let half = |offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
    let address = |offset: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[offset..offset + 8]);
        u64::from_le_bytes(word)
    };
    match half(offset_of!(QueueLayout, enabled)) {
        0 => return Ok(None),
        1 => {}
        _ => {
            return Err(DeviceError::ControlPage(
                "a queue's enabled is neither 0 nor 1",
            ));
        }
    }
    let setup = QueueSetup {
        max,
        size: half(offset_of!(QueueLayout, size)),
        descriptors: address(offset_of!(QueueLayout, descriptors)),
        driver: address(offset_of!(QueueLayout, driver)),
        device: address(offset_of!(QueueLayout, device)),
    };
    if !setup.size.is_power_of_two() || setup.size > max {
        return Err(DeviceError::ControlPage("a queue's size is out of range"));
    }
    if setup.descriptors % 16 != 0 || setup.driver % 2 != 0 || setup.device % 4 != 0 {
        return Err(DeviceError::ControlPage("a queue's address is not aligned"));
    }
    Ok(Some(setup))
}
