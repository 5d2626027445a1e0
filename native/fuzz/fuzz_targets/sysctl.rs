// SPDX-License-Identifier: Apache-2.0
//! The devices without a protocol of their own: what the guest writes about itself, random bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lightvm_devices::{Entropy, Sysctl};
use lightvm_fuzz::{Attacker, Step};

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (sysctl, steps) = input;
    let mut attacker = if sysctl {
        Attacker::new(Sysctl::new())
    } else {
        Attacker::new(Entropy::new())
    };
    attacker.run(&steps, |_| {});
});
