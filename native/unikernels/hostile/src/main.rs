// SPDX-License-Identifier: Apache-2.0
//! hostile: a guest that does whatever a guest must not do to its VMM, over and over until it is
//! destroyed. For tests only; it is in no library of a node.
//!
//! What it does is random, and follows from a number that it prints: `seed=…` on the command line
//! repeats it.
#![no_std]
#![no_main]

mod attacks;
mod device;
mod random;
mod rings;

use unikernel_guest::{Guest, value};
use unikernel_platform::{StartInfo, entry, random_seed};

use crate::attacks::ATTACKS;
use crate::device::{Devices, MEMORY_END};
use crate::random::Random;

entry!(main);

fn main(start: &StartInfo) -> ! {
    assert!(
        start.end_of_memory() >= MEMORY_END,
        "hostile needs 16 MiB of memory"
    );
    let mut guest = Guest::start(start);
    let told = value(start.command_line(), "seed").and_then(|text| text.parse().ok());
    let seed = told.unwrap_or_else(random_seed);
    guest.print(format_args!("hostile: seed={seed}\n"));
    let mut random = Random::new(seed);
    let devices = Devices::of(guest.region());
    guest.print(format_args!("hostile: {} devices\n", devices.len()));
    // One of the attacks is on the console's ring: what is still in it would be lost.
    guest.flush();
    loop {
        let attack = random.choose(&ATTACKS);
        attack(&devices, &mut random);
    }
}
