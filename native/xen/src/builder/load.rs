// SPDX-License-Identifier: Apache-2.0
//! The second half: writes to guest memory and nothing else. Of the system it needs `read`,
//! `pread64` and `lseek` on the files that it is given.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;

use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::elf::{Kernel, KernelError, read_kernel};
use super::layout::{self, PAGE_SIZE};
use super::prepare::PreparedDomain;
use super::start_info::{Module, start_info};
use super::steps::{Step, StepRecorder};

/// Linux's COMMAND_LINE_SIZE on x86 without the final NUL: it would cut off the rest.
const MAX_COMMAND_LINE: usize = 2047;

/// Why a domain has not been loaded. What its memory holds now is anyone's guess.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel is not one that can be started in this domain.
    Kernel(KernelError),
    /// The ramdisk does not fit beside the kernel.
    RamdiskTooLarge {
        /// Its size in bytes.
        size: u64,
        /// What there is room for, in bytes.
        available: u64,
    },
    /// The command line is longer than Linux reads, or not printable ASCII.
    CommandLine,
    /// A file could not be read, or ended before its end.
    Read {
        /// Which file.
        file: &'static str,
        /// What reading gave.
        source: io::Error,
    },
    /// Guest memory could not be written; a mistake of this program.
    Memory(GuestMemoryError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(_) => write!(f, "cannot use the kernel"),
            Self::RamdiskTooLarge { size, available } => {
                write!(
                    f,
                    "the ramdisk has {size} bytes, there is room for {available}"
                )
            }
            Self::CommandLine => write!(
                f,
                "the command line is longer than {MAX_COMMAND_LINE} bytes or not printable ASCII"
            ),
            Self::Read { file, .. } => write!(f, "cannot read the {file}"),
            Self::Memory(_) => write!(f, "cannot write guest memory"),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            Self::Read { source, .. } => Some(source),
            Self::Memory(error) => Some(error),
            Self::RamdiskTooLarge { .. } | Self::CommandLine => None,
        }
    }
}

impl From<GuestMemoryError> for LoadError {
    fn from(error: GuestMemoryError) -> Self {
        Self::Memory(error)
    }
}

/// What a domain's memory holds of a kernel: where it starts, and its ramdisk.
#[derive(Clone, Copy, Debug)]
pub struct LoadedKernel {
    entry: u32,
    ramdisk: Option<Module>,
}

impl PreparedDomain {
    /// Puts a kernel (an uncompressed ELF with a PVH entry point) and a ramdisk in place.
    pub fn load(
        &self,
        kernel: &File,
        ramdisk: Option<&File>,
    ) -> Result<(LoadedKernel, Vec<Step>), LoadError> {
        let memory = &self.memory;
        let mut recorder = StepRecorder::start(0);
        let loadable = self.layout.loadable();

        let image = read_kernel(kernel, &loadable).map_err(LoadError::Kernel)?;
        recorder.done("read kernel headers", 0, 0);

        let copied = copy_kernel(memory, kernel, &image)?;
        recorder.done("copy kernel", 0, copied);

        let free = image.end()..loadable.end;
        let ramdisk = ramdisk
            .map(|file| copy_ramdisk(memory, file, &free))
            .transpose()?;
        recorder.done("copy ramdisk", 0, ramdisk.map_or(0, |module| module.size));
        let loaded = LoadedKernel {
            entry: image.entry,
            ramdisk,
        };
        Ok((loaded, recorder.finish()))
    }

    /// Writes what the kernel is told at its start and points the trampoline at it. The domain can
    /// be unpaused then.
    pub fn write_boot_data(
        &self,
        kernel: &LoadedKernel,
        command_line: &str,
    ) -> Result<Step, LoadError> {
        check_command_line(command_line)?;
        let mut recorder = StepRecorder::start(0);
        let command_line = [command_line.as_bytes(), &[0]].concat();
        let modules: Vec<Module> = kernel.ramdisk.into_iter().collect();
        let map = self.layout.memory_map();
        let info = start_info(layout::START_INFO, layout::COMMAND_LINE, &modules, &map);
        let trampoline = trampoline(kernel.entry);
        self.memory
            .write_slice(&command_line, GuestAddress(layout::COMMAND_LINE))?;
        self.memory
            .write_slice(&info, GuestAddress(layout::START_INFO))?;
        self.memory
            .write_slice(&trampoline, GuestAddress(layout::TRAMPOLINE))?;
        let copied = command_line.len() + info.len() + trampoline.len();
        Ok(recorder.done("write boot data", 0, copied as u64))
    }
}

/// `mov $entry, %eax; jmp *%eax`: the entry point gets all other registers as prepare set them.
fn trampoline(entry: u32) -> [u8; 7] {
    let [a, b, c, d] = entry.to_le_bytes();
    [0xb8, a, b, c, d, 0xff, 0xe0]
}

fn check_command_line(command_line: &str) -> Result<(), LoadError> {
    let printable = command_line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if command_line.len() > MAX_COMMAND_LINE || !printable {
        return Err(LoadError::CommandLine);
    }
    Ok(())
}

/// Copies the segments and zeroes what they have beyond the file. Returns the bytes written.
fn copy_kernel(memory: &GuestMemoryMmap, file: &File, kernel: &Kernel) -> Result<u64, LoadError> {
    let mut copied = 0;
    for segment in &kernel.segments {
        let Range { start, end } = segment.memory;
        let data_end = start + segment.file_size;
        copy_file(memory, file, "kernel", segment.file_offset, start..data_end)?;
        zero(memory, data_end..end)?;
        copied += end - start;
    }
    Ok(copied)
}

/// Copies the ramdisk to the end of the free range.
fn copy_ramdisk(
    memory: &GuestMemoryMmap,
    file: &File,
    free: &Range<u64>,
) -> Result<Module, LoadError> {
    let failed = |source| LoadError::Read {
        file: "ramdisk",
        source,
    };
    let size = (&mut &*file).seek(SeekFrom::End(0)).map_err(failed)?;
    let available = free
        .end
        .saturating_sub(free.start.next_multiple_of(PAGE_SIZE));
    if size > available {
        return Err(LoadError::RamdiskTooLarge { size, available });
    }
    let address = (free.end - size) / PAGE_SIZE * PAGE_SIZE;
    copy_file(memory, file, "ramdisk", 0, address..address + size)?;
    Ok(Module { address, size })
}

/// Reads a part of a file straight into guest memory.
fn copy_file(
    memory: &GuestMemoryMmap,
    mut file: &File,
    name: &'static str,
    offset: u64,
    target: Range<u64>,
) -> Result<(), LoadError> {
    let failed = |source| LoadError::Read { file: name, source };
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let count = (target.end - target.start) as usize;
    match memory.read_exact_volatile_from(GuestAddress(target.start), &mut file, count) {
        Err(GuestMemoryError::IOError(source)) => Err(failed(source)),
        Err(GuestMemoryError::PartialBuffer { .. }) => {
            Err(failed(io::ErrorKind::UnexpectedEof.into()))
        }
        result => Ok(result?),
    }
}

fn zero(memory: &GuestMemoryMmap, range: Range<u64>) -> Result<(), LoadError> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut address = range.start;
    while address < range.end {
        let length = (range.end - address).min(ZEROS.len() as u64) as usize;
        memory.write_slice(&ZEROS[..length], GuestAddress(address))?;
        address += length as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
