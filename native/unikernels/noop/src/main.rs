// SPDX-License-Identifier: Apache-2.0
//! noop: says that it lives, and then does nothing until it is told to go. The least that a pod can be.
#![no_std]
#![no_main]

use unikernel_guest::{Guest, Woken};
use unikernel_platform::{StartInfo, entry};

entry!(main);

fn main(start: &StartInfo) -> ! {
    let mut guest = Guest::start(start);
    guest.print(format_args!("noop: alive\n"));
    while guest.wait(&[], None) != Woken::PowerOff {}
    guest.print(format_args!("noop: powering off\n"));
    guest.power_off()
}
