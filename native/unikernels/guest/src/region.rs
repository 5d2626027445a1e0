// SPDX-License-Identifier: Apache-2.0
//! The noxs region: which devices there are.

use core::fmt;
use core::mem::{offset_of, size_of};

use lightvm_abi::{DevicePage, Entry, FIRST_WORD, Header, MAX_SLOTS, SLOT_PRESENT};
use unikernel_platform::Page;

use crate::command_line::{number, value};
use crate::control_page::ControlPage;

/// Why there are no devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoxsError {
    /// The command line names no address of a page (`noxs=0x…`).
    NoAddress,
    /// What is there is not a device page of the version that we know.
    NoDevicePage(u32),
}

impl fmt::Display for NoxsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => {
                formatter.write_str("the command line has no noxs= with a page's address")
            }
            Self::NoDevicePage(word) => {
                write!(
                    formatter,
                    "no device page of this version: it begins with {word:#x}"
                )
            }
        }
    }
}

/// A device, as its entry in the device page has it.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// `TYPE_*` of the contract.
    pub kind: u32,
    /// Unique in this guest's life.
    pub id: u32,
    /// Its event channel.
    pub port: u32,
    /// Its control page.
    pub control: ControlPage,
}

/// The region that the builder has set aside.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    address: u64,
    page: Page,
    /// How an address becomes a page.
    page_at: fn(u64) -> Option<Page>,
}

impl Region {
    /// Finds the region that the command line names.
    ///
    /// # Errors
    ///
    /// The command line names none, or it is not one.
    pub fn find(command_line: &str) -> Result<Self, NoxsError> {
        let address = value(command_line, "noxs").and_then(number);
        Self::at(address.ok_or(NoxsError::NoAddress)?)
    }

    /// The region at this address.
    ///
    /// # Errors
    ///
    /// As for [`Self::find`].
    pub fn at(address: u64) -> Result<Self, NoxsError> {
        Self::at_with(address, Page::at)
    }

    /// The same, with pages that a test has made.
    fn at_with(address: u64, page_at: fn(u64) -> Option<Page>) -> Result<Self, NoxsError> {
        let page = page_at(address).ok_or(NoxsError::NoAddress)?;
        let first_word: u32 = page.load(offset_of!(Header, first_word));
        let entry_size: u16 = page.load(offset_of!(Header, entry_size));
        if first_word != FIRST_WORD || usize::from(entry_size) != size_of::<Entry>() {
            return Err(NoxsError::NoDevicePage(first_word));
        }
        Ok(Self {
            address,
            page,
            page_at,
        })
    }

    /// Guest-physical address of the region.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The first device of a type that is there now.
    pub fn device(&self, kind: u32) -> Option<Device> {
        let slots: u16 = self.page.load(offset_of!(Header, slot_count));
        (0..usize::from(slots).min(MAX_SLOTS)).find_map(|slot| self.device_in(slot, kind))
    }

    fn device_in(&self, slot: usize, kind: u32) -> Option<Device> {
        let entry = offset_of!(DevicePage, entries) + slot * size_of::<Entry>();
        // First the state: the other fields are valid once it says so.
        let state: u32 = self.page.load(entry + offset_of!(Entry, state));
        if state != SLOT_PRESENT || self.page.load::<u32>(entry + offset_of!(Entry, kind)) != kind {
            return None;
        }
        let address: u64 = self.page.load(entry + offset_of!(Entry, control_address));
        Some(Device {
            kind,
            id: self.page.load(entry + offset_of!(Entry, id)),
            port: self.page.load(entry + offset_of!(Entry, port)),
            control: ControlPage::new((self.page_at)(address)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use lightvm_abi::{TYPE_NET, TYPE_SYSCTL};

    use super::*;
    use crate::test_pages::{page_at, reset};

    const ENTRY: usize = offset_of!(DevicePage, entries);

    #[test]
    fn only_devices_that_are_present_are_found() {
        let pages = reset();
        pages[0].store(offset_of!(Header, first_word), FIRST_WORD);
        pages[0].store(offset_of!(Header, entry_size), 64_u16);
        pages[0].store(offset_of!(Header, slot_count), 2_u16);
        let second = ENTRY + 64;
        pages[0].store(second + offset_of!(Entry, kind), TYPE_NET);
        pages[0].store(second + offset_of!(Entry, port), 9_u32);
        pages[0].store(second + offset_of!(Entry, control_address), 0x1000_u64);
        let region = Region::at_with(0, page_at).unwrap();
        assert!(region.device(TYPE_NET).is_none());
        pages[0].store(second + offset_of!(Entry, state), SLOT_PRESENT);
        assert_eq!(region.device(TYPE_NET).unwrap().port, 9);
        assert!(region.device(TYPE_SYSCTL).is_none());
        // An address that leads nowhere is no device.
        pages[0].store(second + offset_of!(Entry, control_address), 0x1234_5000_u64);
        assert!(region.device(TYPE_NET).is_none());
    }

    #[test]
    fn what_is_no_device_page_is_refused() {
        reset();
        assert_eq!(Region::find("quiet").unwrap_err(), NoxsError::NoAddress);
        let error = Region::at_with(0, page_at).unwrap_err();
        assert_eq!(error, NoxsError::NoDevicePage(0));
    }
}
