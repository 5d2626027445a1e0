// SPDX-License-Identifier: Apache-2.0
//! The end of a guest that cannot go on: it says so on the console and to the VMM.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use unikernel_platform::{ShutdownReason, shut_down};

use crate::console::Console;
use crate::region::Region;
use crate::sysctl::{Sysctl, Word};

/// Address of the noxs region; 0 = not found (yet).
static REGION: AtomicU64 = AtomicU64::new(0);

/// From now on a panic is told to the VMM as well.
pub(crate) fn remember(region: &Region) {
    REGION.store(region.address(), Ordering::Relaxed);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // What is in the middle of a change elsewhere does not matter: each of these is found anew, and
    // one that panics itself ends here for the second time.
    let region = REGION.swap(0, Ordering::Relaxed);
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
