// SPDX-License-Identifier: Apache-2.0
//! The ELF file of an image's unikernel.
#![no_main]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use libfuzzer_sys::fuzz_target;
use lightvm_xen::check_kernel;

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static FILE: File = File::options()
            .read(true).write(true).create(true).truncate(true)
            .open("/fuzz/kernel").expect("a file");
    }
    FILE.with(|mut file| {
        file.set_len(0).expect("a file");
        file.seek(SeekFrom::Start(0)).expect("a file");
        file.write_all(bytes).expect("a file");
        let available = 0x10_0000..0x400_0000;
        if let Ok(entry) = check_kernel(file, &available) {
            assert!(available.contains(&u64::from(entry)));
        }
    });
});
