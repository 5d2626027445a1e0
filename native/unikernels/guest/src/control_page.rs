// SPDX-License-Identifier: Apache-2.0
//! One device's control page, from the guest's side: reads the back half, writes the front half.

use core::mem::{offset_of, size_of};

use lightvm_abi::{CONFIG_SIZE, ControlPage as Layout, MAX_QUEUES, Queue as QueueLayout};
use unikernel_platform::{Page, Word};

/// A virtqueue as the guest has laid it out; addresses are guest-physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAddresses {
    /// Entries, a power of two.
    pub size: u16,
    /// Of the descriptor table.
    pub descriptors: u64,
    /// Of the available ring.
    pub driver: u64,
    /// Of the used ring.
    pub device: u64,
}

/// A control page.
#[derive(Clone, Copy, Debug)]
pub struct ControlPage(Page);

impl ControlPage {
    /// The control page that is this page.
    pub fn new(page: Page) -> Self {
        Self(page)
    }

    /// The feature bits on offer.
    pub fn offered_features(&self) -> u64 {
        self.0.load(offset_of!(Layout, back.features))
    }

    /// The largest size of a queue; 0 = there is none.
    pub fn queue_max(&self, queue: usize) -> u16 {
        if queue >= MAX_QUEUES {
            return 0;
        }
        self.0
            .load(offset_of!(Layout, back.queue_max) + queue * size_of::<u16>())
    }

    /// How often the device's configuration has changed.
    pub fn config_generation(&self) -> u32 {
        self.0.load(offset_of!(Layout, back.config_generation))
    }

    /// A field of the device's configuration; `None` past its end or unaligned.
    pub fn config<W: Word>(&self, offset: usize) -> Option<W> {
        let size = size_of::<W>();
        let inside = offset.checked_add(size)? <= CONFIG_SIZE && offset % size == 0;
        inside.then(|| self.0.load(offset_of!(Layout, back.config) + offset))
    }

    /// The VMM's verdict: (last request answered, status bits).
    pub fn answer(&self) -> (u32, u32) {
        // The number first: the status that belongs to it was written before.
        let ack = self.0.load(offset_of!(Layout, back.ack));
        (ack, self.0.load(offset_of!(Layout, back.status)))
    }

    /// The number of the last request, also one of a program that ran here before.
    pub fn last_request(&self) -> u32 {
        self.0.load(offset_of!(Layout, front.request))
    }

    /// Accepts features.
    pub fn accept_features(&self, features: u64) {
        self.0.store(offset_of!(Layout, front.features), features);
    }

    /// Sets the driver's status without asking for an answer.
    pub fn set_status(&self, status: u32) {
        self.0.store(offset_of!(Layout, front.status), status);
    }

    /// Asks for an answer to all that was written so far.
    pub fn request(&self, number: u32) {
        self.0.store(offset_of!(Layout, front.request), number);
    }

    /// Shows a queue to the device, or takes it away.
    pub fn set_queue(&self, queue: usize, addresses: Option<QueueAddresses>) {
        let base = offset_of!(Layout, front.queues) + queue * size_of::<QueueLayout>();
        let enabled = base + offset_of!(QueueLayout, enabled);
        let Some(addresses) = addresses else {
            return self.0.store(enabled, 0_u16);
        };
        self.0
            .store(base + offset_of!(QueueLayout, size), addresses.size);
        self.0.store(
            base + offset_of!(QueueLayout, descriptors),
            addresses.descriptors,
        );
        self.0
            .store(base + offset_of!(QueueLayout, driver), addresses.driver);
        self.0
            .store(base + offset_of!(QueueLayout, device), addresses.device);
        self.0.store(enabled, 1_u16);
    }

    /// Whether a queue is shown.
    pub fn queue_enabled(&self, queue: usize) -> bool {
        let base = offset_of!(Layout, front.queues) + queue * size_of::<QueueLayout>();
        self.0.load::<u16>(base + offset_of!(QueueLayout, enabled)) == 1
    }

    /// Writes the first word of the driver's configuration.
    pub(crate) fn set_front_config(&self, word: u64) {
        self.0.store(offset_of!(Layout, front.config), word);
    }

    /// The first word of the driver's configuration.
    pub(crate) fn front_config(&self) -> u64 {
        self.0.load(offset_of!(Layout, front.config))
    }
}
