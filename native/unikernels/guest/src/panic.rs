// SPDX-License-Identifier: Apache-2.0
//! The end of a guest that cannot go on: it says so on the console and to the VMM.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use unikernel_platform::{ShutdownReason, shut_down};

use crate::console::Console;
use crate::region::Region;
use crate::sysctl::{Sysctl, Word};

/// Address of the noxs region; 0 = not found (yet).
static REGION: AtomicU64 = AtomicU64::new(0);

/// Whether a panic is being told.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// From now on a panic is told to the VMM as well.
pub(crate) fn remember(region: &Region) {
    REGION.store(region.address(), Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.swap(true, Ordering::Relaxed) {
        // Even that went wrong.
        shut_down(ShutdownReason::Crash)
    }
    // What is in the middle of a change elsewhere does not matter: each of these is found anew.
    let region = REGION.load(Ordering::Relaxed);
    if let Some(mut console) = Console::find(None) {
        // The console never fails.
        let _ = writeln!(console, "{info}");
    }
    let sysctl = Region::at(region)
        .ok()
        .and_then(|region| Sysctl::find(&region));
    if let Some(sysctl) = sysctl {
        sysctl.say(Word::Panicked);
    }
    shut_down(ShutdownReason::Crash)
}
