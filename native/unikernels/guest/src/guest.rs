// SPDX-License-Identifier: Apache-2.0
//! The life of a guest: alive, waiting, gone.

use core::fmt::{Arguments, Write};

use unikernel_platform::{EventChannels, ShutdownReason, StartInfo, SystemTime, shut_down};

use crate::console::Console;
use crate::region::Region;
use crate::sysctl::{Request, Sysctl, Word};

/// Devices that one guest can wait for.
const MAX_PORTS: usize = 4;

/// Why [`Guest::wait`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The VMM asks for the end.
    PowerOff,
    /// A device has rung, or the time has come: look.
    Look,
}

/// This guest.
#[derive(Debug)]
pub struct Guest {
    region: Region,
    sysctl: Sysctl,
    channels: EventChannels,
    console: Option<Console>,
}

impl Guest {
    /// Finds the devices and says that this guest lives, before anything else.
    ///
    /// # Panics
    ///
    /// There is no VMM of LightVM's on the other side.
    pub fn start(start: &StartInfo) -> Self {
        let region = match Region::find(start.command_line()) {
            Ok(region) => region,
            Err(error) => panic!("{error}"),
        };
        let sysctl = Sysctl::find(&region).expect("the device page has no sysctl device");
        sysctl.say(Word::Alive);
        #[cfg(feature = "bare")]
        crate::panic::remember(&region);
        let channels = EventChannels::open(start).expect("Xen does not map the shared info page");
        Self {
            region,
            sysctl,
            channels,
            console: Console::find(Some(channels)),
        }
    }

    /// The devices.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The clocks, and the event channels of the devices.
    pub fn channels(&self) -> &EventChannels {
        &self.channels
    }

    /// Prints on the console, if there is one.
    pub fn print(&mut self, text: Arguments<'_>) {
        if let Some(console) = &mut self.console {
            // The console never fails.
            let _ = console.write_fmt(text);
        }
    }

    /// Returns when all that was printed has been read.
    pub fn flush(&self) {
        if let Some(console) = &self.console {
            console.flush();
        }
    }

    /// Sleeps until one of `ports` is rung, the VMM asks for something, or the time has come. At most
    /// three ports.
    pub fn wait(&mut self, ports: &[u32], deadline: Option<SystemTime>) -> Woken {
        let mut all = [self.sysctl.port(); MAX_PORTS];
        all[1..=ports.len()].copy_from_slice(ports);
        let all = &all[..=ports.len()];
        self.channels.wait(all, deadline);
        for port in all {
            self.channels.take(*port);
        }
        match self.sysctl.asked() {
            Some(Request::PowerOff) => Woken::PowerOff,
            None => Woken::Look,
        }
    }

    /// Says goodbye and goes.
    pub fn power_off(self) -> ! {
        self.sysctl.say(Word::Exiting);
        shut_down(ShutdownReason::Poweroff)
    }
}
