// SPDX-License-Identifier: Apache-2.0
//! virtio-blk: the requests of a guest on a disk of 64 KiB that it may read, or write as well.
#![no_main]

use std::fs::File;

use libfuzzer_sys::fuzz_target;
use lightvm_devices::{Access, Block};
use lightvm_fuzz::{Attacker, Step};

/// The runner puts it there, see native/build/fuzz.ts.
const IMAGE: &str = "/fuzz/image";
/// In the file system that the runner makes for one run.
const DISK: &str = "/share/disk";
/// Bytes of the writable disk.
const DISK_BYTES: u64 = 65_536;

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (writable, steps) = input;
    if writable {
        attack_writable(&steps);
        return;
    }
    let image = File::open(IMAGE).expect("an image");
    let device = Block::new(image, "fuzz", Access::Read).expect("a device");
    Attacker::new(device).run(&steps, |_| {});
});

/// Whatever the guest writes and wherever, the disk stays as large as it is.
fn attack_writable(steps: &[Step]) {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let disk = options.open(DISK).expect("a disk");
    disk.set_len(DISK_BYTES).expect("its size");
    let handed = disk.try_clone().expect("a descriptor");
    let device = Block::new(handed, "fuzz", Access::Write).expect("a device");
    Attacker::new(device).run(steps, |_| {});
    assert_eq!(disk.metadata().expect("its size").len(), DISK_BYTES);
}
