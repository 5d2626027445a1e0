// SPDX-License-Identifier: Apache-2.0
//! The kernel file: an ELF for x86-64 with a PVH entry point. A unikernel's comes from an image, so
//! every number in it is checked before use.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::fields::{u32_at, u64_at};

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const MAX_PROGRAM_HEADERS: usize = 64;
const MAX_NOTES_SIZE: u64 = 64 * 1024;

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const EXECUTABLE: u16 = 2;
const MACHINE_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// XEN_ELFNOTE_PHYS32_ENTRY (public/elfnote.h): the entry point of the PVH boot protocol.
const PHYS32_ENTRY: u32 = 18;

/// A part of the file that has its place in guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) file_offset: u64,
    pub(crate) file_size: u64,
    /// Guest-physical; longer than the file's part by what is to be zeroed.
    pub(crate) memory: Range<u64>,
}

/// A kernel that has been checked against the memory that it is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// In the order of their addresses.
    pub(crate) segments: Vec<Segment>,
    /// Inside one of the segments.
    pub(crate) entry: u32,
}

impl Kernel {
    /// End of the highest segment.
    pub(crate) fn end(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.memory.end)
    }
}

/// What is wrong with a kernel file.
#[derive(Debug)]
pub enum KernelError {
    /// Not a 64-bit little-endian x86 ELF executable.
    NotAnElf,
    /// A number in the file makes no sense.
    Malformed(&'static str),
    /// There is no PVH entry point (a kernel built without CONFIG_PVH).
    NoEntry,
    /// It does not fit into the guest's memory.
    DoesNotFit {
        /// Where it wants to lie.
        wanted: Range<u64>,
        /// Where it may lie.
        available: Range<u64>,
    },
    /// The file could not be read.
    Read(io::Error),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnElf => write!(f, "not a 64-bit x86 ELF executable"),
            Self::Malformed(what) => write!(f, "malformed ELF file: {what}"),
            Self::NoEntry => write!(f, "no PVH entry point (XEN_ELFNOTE_PHYS32_ENTRY)"),
            Self::DoesNotFit { wanted, available } => {
                write!(
                    f,
                    "needs memory {wanted:#x?}, the guest has {available:#x?} for it"
                )
            }
            Self::Read(_) => write!(f, "cannot read the file"),
        }
    }
}

impl std::error::Error for KernelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

struct ProgramHeader {
    kind: u32,
    file_offset: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
}

/// Reads the headers and checks that all segments lie in `available`.
pub(crate) fn read_kernel(file: &File, available: &Range<u64>) -> Result<Kernel, KernelError> {
    let headers = program_headers(file)?;
    let mut segments = Vec::new();
    let mut entry = None;
    for header in &headers {
        match header.kind {
            PT_LOAD if header.memory_size > 0 => segments.push(segment(header, available)?),
            PT_NOTE => entry = entry.or(find_entry(file, header)?),
            _ => {}
        }
    }
    segments.sort_by_key(|segment| segment.memory.start);
    if segments
        .windows(2)
        .any(|pair| pair[0].memory.end > pair[1].memory.start)
    {
        return Err(KernelError::Malformed("segments overlap"));
    }
    let entry = entry.ok_or(KernelError::NoEntry)?;
    if !segments
        .iter()
        .any(|segment| segment.memory.contains(&u64::from(entry)))
    {
        return Err(KernelError::Malformed("the entry point is in no segment"));
    }
    Ok(Kernel { segments, entry })
}

/// Checks a kernel as [`PreparedDomain::load`](crate::PreparedDomain::load) does; its entry point.
#[cfg(feature = "test-support")]
pub fn check_kernel(file: &File, available: &Range<u64>) -> Result<u32, KernelError> {
    read_kernel(file, available).map(|kernel| kernel.entry)
}

fn program_headers(file: &File) -> Result<Vec<ProgramHeader>, KernelError> {
    let mut header = [0; HEADER_SIZE];
    read_at(file, &mut header, 0)?;
    let half = |offset: usize| u16::from_le_bytes([header[offset], header[offset + 1]]);
    let identity = (&header[..4], header[4], header[5], half(16), half(18));
    if identity
        != (
            b"\x7fELF".as_slice(),
            CLASS_64,
            LITTLE_ENDIAN,
            EXECUTABLE,
            MACHINE_X86_64,
        )
    {
        return Err(KernelError::NotAnElf);
    }
    let (size, count) = (usize::from(half(54)), usize::from(half(56)));
    if size != PROGRAM_HEADER_SIZE || count > MAX_PROGRAM_HEADERS {
        return Err(KernelError::Malformed("size or count of program headers"));
    }
    let mut table = vec![0; size * count];
    read_at(file, &mut table, u64_at(&header, 32))?;
    let parse = |bytes: &[u8]| ProgramHeader {
        kind: u32_at(bytes, 0),
        file_offset: u64_at(bytes, 8),
        physical_address: u64_at(bytes, 24),
        file_size: u64_at(bytes, 32),
        memory_size: u64_at(bytes, 40),
    };
    Ok(table.chunks_exact(PROGRAM_HEADER_SIZE).map(parse).collect())
}

fn segment(header: &ProgramHeader, available: &Range<u64>) -> Result<Segment, KernelError> {
    if header.file_size > header.memory_size {
        return Err(KernelError::Malformed(
            "a segment is larger in the file than in memory",
        ));
    }
    let start = header.physical_address;
    let end = start.checked_add(header.memory_size);
    let end = end.ok_or(KernelError::Malformed("a segment's address"))?;
    if start < available.start || end > available.end {
        return Err(KernelError::DoesNotFit {
            wanted: start..end,
            available: available.clone(),
        });
    }
    Ok(Segment {
        file_offset: header.file_offset,
        file_size: header.file_size,
        memory: start..end,
    })
}

/// Looks for the PVH entry among the notes of one PT_NOTE segment.
fn find_entry(file: &File, header: &ProgramHeader) -> Result<Option<u32>, KernelError> {
    if header.file_size > MAX_NOTES_SIZE {
        return Err(KernelError::Malformed("size of the notes"));
    }
    let mut notes = vec![0; header.file_size as usize];
    read_at(file, &mut notes, header.file_offset)?;
    entry_in_notes(&notes)
}

/// A note: sizes of name and description, type, then both padded to four bytes.
fn entry_in_notes(mut notes: &[u8]) -> Result<Option<u32>, KernelError> {
    const NOTE_HEADER: usize = 12;
    while notes.len() >= NOTE_HEADER {
        let name_size = u32_at(notes, 0) as usize;
        let description_size = u32_at(notes, 4) as usize;
        let kind = u32_at(notes, 8);
        let rest = &notes[NOTE_HEADER..];
        let truncated = || KernelError::Malformed("a truncated note");
        let name = rest.get(..name_size).ok_or_else(truncated)?;
        let rest = rest
            .get(name_size.next_multiple_of(4)..)
            .ok_or_else(truncated)?;
        let description = rest.get(..description_size).ok_or_else(truncated)?;
        if name == b"Xen\0" && kind == PHYS32_ENTRY {
            return entry_address(description).map(Some);
        }
        notes = rest
            .get(description_size.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(None)
}

fn entry_address(description: &[u8]) -> Result<u32, KernelError> {
    let address = match description.len() {
        4 => u64::from(u32_at(description, 0)),
        8 => u64_at(description, 0),
        _ => return Err(KernelError::Malformed("size of the entry point")),
    };
    u32::try_from(address).map_err(|_| KernelError::Malformed("the entry point is above 4 GiB"))
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> Result<(), KernelError> {
    file.read_exact_at(bytes, offset)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => KernelError::Malformed("the file ends too early"),
            _ => KernelError::Read(error),
        })
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
