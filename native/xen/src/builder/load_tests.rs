// SPDX-License-Identifier: Apache-2.0
use std::io::Write;

use super::super::elf::Segment;
use super::*;

const FREE: Range<u64> = 0x2345..0x10_0000;

fn memory() -> GuestMemoryMmap {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    memory
        .write_slice(&[0xee; 0x1_0000], GuestAddress(0))
        .unwrap();
    memory
}

fn file(name: &str, content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("lightvm-load-{}-{name}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(content).unwrap();
    file
}

fn bytes(memory: &GuestMemoryMmap, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory
        .read_slice(&mut bytes, GuestAddress(address))
        .unwrap();
    bytes
}

#[test]
fn segments_are_copied_and_their_rest_is_zeroed() {
    let memory = memory();
    let segment = Segment {
        file_offset: 2,
        file_size: 3,
        memory: 0x1000..0x1006,
    };
    let kernel = Kernel {
        segments: vec![segment],
        entry: 0x1000,
    };
    assert_eq!(
        copy_kernel(&memory, &file("segments", b"..abc.."), &kernel).unwrap(),
        6
    );
    assert_eq!(bytes(&memory, 0xfff, 8), b"\xeeabc\0\0\0\xee");
}

#[test]
fn a_file_that_ends_too_early_is_an_error() {
    let segment = Segment {
        file_offset: 2,
        file_size: 9,
        memory: 0x1000..0x1009,
    };
    let kernel = Kernel {
        segments: vec![segment],
        entry: 0x1000,
    };
    let result = copy_kernel(&memory(), &file("short", b"..abc"), &kernel);
    assert!(
        matches!(result, Err(LoadError::Read { file: "kernel", .. })),
        "{result:?}"
    );
}

#[test]
fn the_ramdisk_lies_at_the_end() {
    let memory = memory();
    let module = copy_ramdisk(&memory, &file("ramdisk", &[7; 5000]), &FREE).unwrap();
    assert_eq!(
        module,
        Module {
            address: 0x10_0000 - 8192,
            size: 5000
        }
    );
    assert_eq!(bytes(&memory, module.address, 5000), [7; 5000]);
}

#[test]
fn a_ramdisk_that_is_too_large_is_refused() {
    let free = 0x2345..0x4000;
    let result = copy_ramdisk(&memory(), &file("large", &[7; 5000]), &free);
    assert!(matches!(
        result,
        Err(LoadError::RamdiskTooLarge {
            size: 5000,
            available: 4096
        })
    ));
}

#[test]
fn the_trampoline_jumps_to_the_entry() {
    assert_eq!(
        trampoline(0x0123_4567),
        [0xb8, 0x67, 0x45, 0x23, 0x01, 0xff, 0xe0]
    );
}

#[test]
fn command_lines_that_linux_would_cut_are_refused() {
    assert!(check_command_line("console=hvc0 quiet").is_ok());
    assert!(check_command_line(&"x".repeat(2047)).is_ok());
    assert!(check_command_line(&"x".repeat(2048)).is_err());
    assert!(check_command_line("a\0b").is_err());
    assert!(check_command_line("a\nb").is_err());
}
