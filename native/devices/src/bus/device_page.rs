// SPDX-License-Identifier: Apache-2.0
//! The device page: written here, never read back.

use std::mem::{offset_of, size_of};

use lightvm_abi::{
    DevicePage as Layout, Entry, FIRST_WORD, Header, SLOT_EMPTY, SLOT_PRESENT, SLOT_REMOVING,
};
use vm_memory::GuestAddress;

use crate::page::Page;

/// The device page of a guest.
pub(super) struct DevicePage {
    page: Page,
    generation: u32,
}

impl DevicePage {
    /// A page without devices; each slot keeps its port for the guest's whole life.
    pub(super) fn new(page: Page, page_port: u32, region_pages: u32, slot_ports: &[u32]) -> Self {
        page.clear();
        let entry_size = size_of::<Entry>() as u16;
        let slot_count = slot_ports.len() as u16;
        page.store(offset_of!(Header, doorbell_port), page_port.to_le());
        page.store(offset_of!(Header, slot_count), slot_count.to_le());
        page.store(offset_of!(Header, entry_size), entry_size.to_le());
        page.store(offset_of!(Header, region_pages), region_pages.to_le());
        for (slot, port) in slot_ports.iter().enumerate() {
            page.store(entry(slot) + offset_of!(Entry, port), port.to_le());
        }
        page.store(offset_of!(Header, first_word), FIRST_WORD.to_le());
        let mut device_page = Self {
            page,
            generation: 0,
        };
        device_page.bump();
        device_page
    }

    /// Shows a device whose control page is complete.
    pub(super) fn show(&mut self, slot: usize, kind: u32, id: u32, control: GuestAddress) {
        let entry = entry(slot);
        let page = &self.page;
        page.store(entry + offset_of!(Entry, kind), kind.to_le());
        page.store(entry + offset_of!(Entry, id), id.to_le());
        page.store(
            entry + offset_of!(Entry, control_address),
            control.0.to_le(),
        );
        self.set_state(slot, SLOT_PRESENT);
    }

    /// Asks the guest to let go of a device.
    pub(super) fn ask_back(&mut self, slot: usize) {
        self.set_state(slot, SLOT_REMOVING);
    }

    /// Takes the entry of a device that the guest has let go of.
    pub(super) fn clear(&mut self, slot: usize) {
        self.set_state(slot, SLOT_EMPTY);
    }

    fn set_state(&mut self, slot: usize, state: u32) {
        self.page
            .store(entry(slot) + offset_of!(Entry, state), state.to_le());
        self.bump();
    }

    fn bump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.page
            .store(offset_of!(Header, generation), self.generation.to_le());
    }
}

/// Offset of a slot's entry.
fn entry(slot: usize) -> usize {
    offset_of!(Layout, entries) + slot * size_of::<Entry>()
}
