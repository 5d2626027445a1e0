// SPDX-License-Identifier: Apache-2.0
//! virtio-blk: the requests of a guest on an image of 64 KiB.
#![no_main]

use std::fs::File;

use libfuzzer_sys::fuzz_target;
use lightvm_devices::Block;
use lightvm_fuzz::{Attacker, Step};

/// The runner puts it there, see native/build/fuzz.ts.
const IMAGE: &str = "/fuzz/image";

fuzz_target!(|steps: Vec<Step>| {
    let image = File::open(IMAGE).expect("an image");
    let device = Block::new(image, "fuzz").expect("a device");
    Attacker::new(device).run(&steps, |_| {});
});
