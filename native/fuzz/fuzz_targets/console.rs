// SPDX-License-Identifier: Apache-2.0
//! Xen's console ring: any indices, any text.
#![no_main]

use std::sync::atomic::Ordering;

use libfuzzer_sys::fuzz_target;
use lightvm_devices::ConsoleRing;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const PAGE: u64 = 4096;

fuzz_target!(|writes: Vec<(u16, u32)>| {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 * PAGE as usize)]);
    let memory = memory.expect("RAM");
    let mut ring = ConsoleRing::new(memory.clone(), GuestAddress(PAGE)).expect("a ring");
    for (offset, value) in writes {
        let at = GuestAddress(PAGE + u64::from(offset) % PAGE / 4 * 4);
        memory.store(value, at, Ordering::Release).expect("RAM");
        let mut sink = Vec::new();
        let drained = ring.drain(&mut sink);
        assert_eq!(drained.bytes, sink.len());
        assert!(sink.len() <= 2048);
    }
});
