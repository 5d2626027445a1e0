// SPDX-License-Identifier: Apache-2.0
//! A guest of LightVM without an operating system: it finds its devices on the noxs pages
//! (native/abi/include/noxs.h), says that it lives, prints on Xen's console, and powers off when it is
//! asked to.
//!
//! ```text
//! fn main(start: &StartInfo) -> ! {
//!     let mut guest = Guest::start(start);       // says ALIVE
//!     while guest.wait(&[], None) != Woken::PowerOff {}
//!     guest.power_off()                          // says EXITING
//! }
//! ```
#![no_std]

mod command_line;
mod console;
mod control_page;
mod guest;
#[cfg(feature = "bare")]
mod panic;
mod region;
mod sysctl;
#[cfg(test)]
mod test_pages;
mod transport;

pub use command_line::value;
pub use console::Console;
pub use control_page::ControlPage;
pub use guest::{Guest, Woken};
pub use region::{Device, NoxsError, Region};
pub use sysctl::{Request, Sysctl, Word};
pub use transport::{Bell, NoxsTransport, PortBell};
