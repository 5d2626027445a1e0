// SPDX-License-Identifier: Apache-2.0
//! The file behind a disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};

use rustix::fs::ioctl_blksszget;

use super::wire::{Geometry, SECTOR, SERIAL_LENGTH};

/// Bytes that are written before the host must have them on its disk: a flush then has little left to do,
/// and nobody else of this pod waits long for it.
const MAX_UNSYNCED: u64 = 16 << 20;

/// What a guest may do with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read it and write to it. The file must have been opened for both.
    Write,
}

/// Why a file can't be a disk.
#[derive(Debug)]
pub enum BlockError {
    /// The file's size or block size can't be read.
    Size(io::Error),
    /// The file is empty.
    Empty,
    /// The file shall be written to and does not end with a sector.
    Uneven,
    /// The serial is longer than virtio-blk's 20 bytes.
    LongSerial,
}

impl fmt::Display for BlockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Size(_) => "the size of the disk's file can't be read",
            Self::Empty => "the disk's file is empty",
            Self::Uneven => "the size of the writable disk's file is no multiple of 512",
            Self::LongSerial => "the disk's serial is longer than 20 bytes",
        })
    }
}

impl std::error::Error for BlockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Size(error) => Some(error),
            _ => None,
        }
    }
}

/// A disk's content. Its size is that of the file when it was opened.
pub(super) struct Disk {
    /// None once it has been cut off.
    file: Option<File>,
    /// Bytes of the file; what lies behind them on the disk reads as zeros.
    bytes: u64,
    pub(super) geometry: Geometry,
    pub(super) serial: [u8; SERIAL_LENGTH],
    /// Bytes written since the host had all of them on its disk.
    unsynced: u64,
}

impl Disk {
    pub(super) fn open(mut file: File, serial: &str, access: Access) -> Result<Self, BlockError> {
        // Of a block device, the metadata's length is 0.
        let bytes = file.seek(SeekFrom::End(0)).map_err(BlockError::Size)?;
        if bytes == 0 {
            return Err(BlockError::Empty);
        }
        let writable = access == Access::Write;
        if writable && bytes % SECTOR != 0 {
            return Err(BlockError::Uneven);
        }
        let mut padded = [0; SERIAL_LENGTH];
        padded
            .get_mut(..serial.len())
            .ok_or(BlockError::LongSerial)?
            .copy_from_slice(serial.as_bytes());
        let geometry = Geometry {
            sectors: bytes.div_ceil(SECTOR),
            block_size: block_size(&file).map_err(BlockError::Size)?,
            writable,
        };
        Ok(Self {
            file: Some(file),
            bytes,
            geometry,
            serial: padded,
            unsynced: 0,
        })
    }

    /// Closes the file: whatever is asked for from now on is an I/O error.
    pub(super) fn cut_off(&mut self) {
        self.file = None;
    }

    /// Fills `piece` from byte `start`.
    pub(super) fn read(&self, start: u64, piece: &mut [u8]) -> io::Result<()> {
        let there = self.bytes.saturating_sub(start).min(piece.len() as u64);
        let (content, padding) = piece.split_at_mut(there as usize);
        padding.fill(0);
        self.file()?.read_exact_at(content, start)
    }

    /// Writes `piece` to byte `start`.
    pub(super) fn write(&mut self, start: u64, piece: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(piece, start)?;
        self.unsynced += piece.len() as u64;
        if self.unsynced < MAX_UNSYNCED {
            return Ok(());
        }
        self.flush()
    }

    /// Returns when all that was written is on the host's disk.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.geometry.writable {
            self.file()?.sync_data()?;
        }
        self.unsynced = 0;
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        let gone = || io::Error::other("the disk has been taken away");
        self.file.as_ref().ok_or_else(gone)
    }
}

/// A block device's logical block size; nothing of a file.
fn block_size(file: &File) -> io::Result<Option<u32>> {
    if !file.metadata()?.file_type().is_block_device() {
        return Ok(None);
    }
    Ok(Some(ioctl_blksszget(file)?))
}
