// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-blk.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lightvm_abi::TYPE_BLOCK;

use super::wire::{FEATURES, Request, SECTOR, SERIAL_LENGTH, Status, config};
use crate::{Chain, Device, DeviceError, DeviceEvent, Progress, Queues};

const QUEUE_SIZE: u16 = 128;
/// Data segments of a request, beside its header and status.
const SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
/// Requests of one turn.
const BUDGET: usize = 128;
/// Bytes that are read from the file at once.
const PIECE: usize = 256 << 10;

/// Why a file can't be a disk.
#[derive(Debug)]
pub enum BlockError {
    /// The file's size can't be read.
    Size(io::Error),
    /// The file is empty.
    Empty,
    /// The serial is longer than virtio-blk's 20 bytes.
    LongSerial,
}

impl fmt::Display for BlockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Size(_) => "the size of the disk's file can't be read",
            Self::Empty => "the disk's file is empty",
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

/// A read-only disk.
pub struct Block {
    disk: Disk,
    /// Bytes on their way from the file to the guest; kept, so that a request allocates nothing.
    buffer: Vec<u8>,
}

struct Disk {
    file: File,
    /// Bytes of the file; what lies behind them on the disk reads as zeros.
    bytes: u64,
    sectors: u64,
    serial: [u8; SERIAL_LENGTH],
}

impl Block {
    /// A disk with the file's content, padded with zeros to whole sectors.
    pub fn new(file: File, serial: &str) -> Result<Self, BlockError> {
        let bytes = file.metadata().map_err(BlockError::Size)?.len();
        if bytes == 0 {
            return Err(BlockError::Empty);
        }
        let mut padded = [0; SERIAL_LENGTH];
        padded
            .get_mut(..serial.len())
            .ok_or(BlockError::LongSerial)?
            .copy_from_slice(serial.as_bytes());
        Ok(Self {
            disk: Disk {
                file,
                bytes,
                sectors: bytes.div_ceil(SECTOR),
                serial: padded,
            },
            buffer: Vec::new(),
        })
    }
}

impl Disk {
    /// Carries a request out; returns the bytes that were written before the status byte.
    fn serve(&self, chain: &Chain, buffer: &mut Vec<u8>) -> Result<u32, DeviceError> {
        let (status, written) = match Request::parse(chain, self.sectors)? {
            Request::Read { start, length } => match self.read(chain, start, length, buffer)? {
                Ok(()) => (Status::Ok, length),
                Err(_) => (Status::IoError, 0),
            },
            Request::Serial { length } => {
                chain.write(0, &self.serial[..length as usize])?;
                (Status::Ok, length)
            }
            Request::Flush => (Status::Ok, 0),
            Request::Refused(status) => (status, 0),
        };
        // Request::parse has made sure that there is a last writable byte.
        chain.write(chain.writable_length() - 1, &[status as u8])?;
        Ok(written + 1)
    }

    /// Copies from the file into the chain. The inner error is the host's: the guest gets it as an
    /// I/O error, as from any disk that fails.
    fn read(
        &self,
        chain: &Chain,
        start: u64,
        length: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<io::Result<()>, DeviceError> {
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < length {
            let piece = &mut buffer[..PIECE.min((length - done) as usize)];
            if let Err(error) = self.read_piece(start + u64::from(done), piece) {
                return Ok(Err(error));
            }
            chain.write(done, piece)?;
            done += piece.len() as u32;
        }
        Ok(Ok(()))
    }

    fn read_piece(&self, start: u64, piece: &mut [u8]) -> io::Result<()> {
        let there = self.bytes.saturating_sub(start).min(piece.len() as u64);
        let (content, padding) = piece.split_at_mut(there as usize);
        padding.fill(0);
        self.file.read_exact_at(content, start)
    }
}

impl Device for Block {
    fn kind(&self) -> u32 {
        TYPE_BLOCK
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[QUEUE_SIZE]
    }

    fn config(&self) -> Vec<u8> {
        config(self.disk.sectors, SEGMENTS)
    }

    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}

    fn process(
        &mut self,
        queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        let Self { disk, buffer } = self;
        queues.serve(0, BUDGET, |chain| disk.serve(chain, buffer))
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
