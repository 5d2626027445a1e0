// SPDX-License-Identifier: Apache-2.0
use std::io::Write;

use super::*;
use crate::fields::Fields;

const AVAILABLE: Range<u64> = 0x10_0000..0x400_0000;

/// An ELF file with two segments and one note.
pub(crate) struct Image {
    pub(crate) segments: Vec<(u64, u64, u64, u64)>,
    pub(crate) note: Vec<u8>,
    pub(crate) machine: u16,
}

impl Image {
    fn new() -> Self {
        Self {
            segments: vec![(0x1000, 0x100_0000, 16, 4096), (0x1010, 0x200_0000, 8, 8)],
            note: note(b"Xen\0", PHYS32_ENTRY, &0x100_0000_u64.to_le_bytes()),
            machine: MACHINE_X86_64,
        }
    }

    fn file(&self) -> File {
        let count = self.segments.len() + 1;
        let notes_at = (HEADER_SIZE + count * PROGRAM_HEADER_SIZE) as u64;
        let mut bytes = Fields::new()
            .bytes(b"\x7fELF\x02\x01\x01")
            .padded_to(16)
            .u16(EXECUTABLE)
            .u16(self.machine)
            .padded_to(32)
            .u64(HEADER_SIZE as u64)
            .padded_to(54)
            .u16(PROGRAM_HEADER_SIZE as u16)
            .u16(count as u16)
            .padded_to(HEADER_SIZE)
            .build();
        for &(offset, address, file_size, memory_size) in &self.segments {
            bytes.extend(program_header(
                PT_LOAD,
                offset,
                address,
                file_size,
                memory_size,
            ));
        }
        bytes.extend(program_header(
            PT_NOTE,
            notes_at,
            0,
            self.note.len() as u64,
            0,
        ));
        bytes.extend(&self.note);
        let mut file = temporary_file();
        file.write_all(&bytes).unwrap();
        file
    }
}

/// A file that is gone with its descriptor.
fn temporary_file() -> File {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lightvm-elf-{}-{number}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

fn program_header(kind: u32, offset: u64, address: u64, file: u64, memory: u64) -> Vec<u8> {
    Fields::new()
        .u32(kind)
        .u32(0)
        .u64(offset)
        .u64(0)
        .u64(address)
        .u64(file)
        .u64(memory)
        .u64(0x1000)
        .build()
}

fn note(name: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
    Fields::new()
        .u32(name.len() as u32)
        .u32(description.len() as u32)
        .u32(kind)
        .bytes(name)
        .aligned(4)
        .bytes(description)
        .aligned(4)
        .build()
}

fn error(image: &Image) -> String {
    read_kernel(&image.file(), &AVAILABLE)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_kernel_has_its_segments_and_its_entry() {
    let kernel = read_kernel(&Image::new().file(), &AVAILABLE).unwrap();
    assert_eq!(kernel.entry, 0x100_0000);
    assert_eq!(kernel.segments.len(), 2);
    assert_eq!(kernel.segments[0].memory, 0x100_0000..0x100_1000);
    assert_eq!(kernel.end(), 0x200_0008);
}

#[test]
fn the_entry_is_found_behind_other_notes() {
    let mut image = Image::new();
    image.note = [
        note(b"GNU\0", 3, &[1; 20]),
        note(b"Linux\0", PHYS32_ENTRY, &[2; 3]),
        note(b"Xen\0", PHYS32_ENTRY, &0x100_0010_u32.to_le_bytes()),
    ]
    .concat();
    assert_eq!(
        read_kernel(&image.file(), &AVAILABLE).unwrap().entry,
        0x100_0010
    );
}

#[test]
fn what_is_no_pvh_kernel_is_refused() {
    let arm = Image {
        machine: 183,
        ..Image::new()
    };
    assert!(error(&arm).contains("not a 64-bit x86 ELF"));
    let no_note = Image {
        note: note(b"GNU\0", 3, &[0; 20]),
        ..Image::new()
    };
    assert!(error(&no_note).contains("no PVH entry point"));
    assert!(matches!(
        read_kernel(&temporary_file(), &AVAILABLE),
        Err(KernelError::Malformed("the file ends too early"))
    ));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let mut image = Image::new();
    image.segments[1].1 = 0x100_0ff8;
    assert!(error(&image).contains("segments overlap"));
    image.segments[1].1 = 0x1000;
    assert!(error(&image).contains("needs memory"));
    image.segments[1].1 = u64::MAX;
    assert!(error(&image).contains("a segment's address"));
    image.segments[1] = (0, 0x200_0000, 9, 8);
    assert!(error(&image).contains("larger in the file"));
    let outside = note(b"Xen\0", PHYS32_ENTRY, &0x300_0000_u32.to_le_bytes());
    assert!(
        error(&Image {
            note: outside,
            ..Image::new()
        })
        .contains("in no segment")
    );
    let mut truncated = note(b"Xen\0", PHYS32_ENTRY, &[0; 4]);
    truncated[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(
        error(&Image {
            note: truncated,
            ..Image::new()
        })
        .contains("truncated note")
    );
}
