// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-blk.

use std::any::Any;
use std::fs::File;
use std::io;

use lightvm_abi::TYPE_BLOCK;

use super::disk::{Access, BlockError, Disk};
use super::wire::{HEADER_LENGTH, Request, Status, config, features};
use crate::{Chain, Device, DeviceError, DeviceEvent, Progress, Queues};

const QUEUE_SIZE: u16 = 128;
/// Data segments of a request, beside its header and status.
const SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
/// Requests of one turn.
const BUDGET: usize = 128;
/// Requests of one turn where some can be writes, for which a disk may take its time.
const WRITABLE_BUDGET: usize = 16;
/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// A disk.
pub struct Block {
    disk: Disk,
    /// Bytes on their way between file and guest; kept, so that a request allocates nothing.
    buffer: Vec<u8>,
}

impl Block {
    /// A disk with the file's content. One that is only read is padded with zeros to whole sectors.
    ///
    /// # Errors
    ///
    /// The file is no disk.
    pub fn new(file: File, serial: &str, access: Access) -> Result<Self, BlockError> {
        Ok(Self {
            disk: Disk::open(file, serial, access)?,
            buffer: Vec::new(),
        })
    }

    /// Closes the file, whether or not the guest has let go of the disk: requests give I/O errors.
    pub fn cut_off(&mut self) {
        self.disk.cut_off();
    }

    /// Carries a request out; returns the bytes that were written before the status byte.
    fn serve(&mut self, chain: &Chain) -> Result<u32, DeviceError> {
        let (status, written) = match Request::parse(chain, self.disk.geometry)? {
            Request::Read { start, length } => match self.read(chain, start, length)? {
                Ok(()) => (Status::Ok, length),
                Err(_) => (Status::IoError, 0),
            },
            Request::Write { start, length } => (Status::of(&self.write(chain, start, length)?), 0),
            Request::Serial { length } => {
                chain.write(0, &self.disk.serial[..length as usize])?;
                (Status::Ok, length)
            }
            Request::Flush => (Status::of(&self.disk.flush()), 0),
            Request::Refused(status) => (status, 0),
        };
        // Request::parse has made sure that there is a last writable byte.
        chain.write(chain.writable_length() - 1, &[status as u8])?;
        Ok(written + 1)
    }

    /// Copies from the file into the chain. The inner error is the host's: the guest gets it as an
    /// I/O error, as from any disk that fails.
    fn read(
        &mut self,
        chain: &Chain,
        start: u64,
        length: u32,
    ) -> Result<io::Result<()>, DeviceError> {
        let Self { disk, buffer } = self;
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < length {
            let piece = &mut buffer[..PIECE.min((length - done) as usize)];
            if let Err(error) = disk.read(start + u64::from(done), piece) {
                return Ok(Err(error));
            }
            chain.write(done, piece)?;
            done += piece.len() as u32;
        }
        Ok(Ok(()))
    }

    /// Copies from the chain into the file. What the guest writes into its buffers meanwhile is on
    /// the disk or is not: each byte is read once.
    fn write(
        &mut self,
        chain: &Chain,
        start: u64,
        length: u32,
    ) -> Result<io::Result<()>, DeviceError> {
        let Self { disk, buffer } = self;
        buffer.resize(PIECE, 0);
        let mut done = 0;
        while done < length {
            let piece = &mut buffer[..PIECE.min((length - done) as usize)];
            chain.read(HEADER_LENGTH as u32 + done, piece)?;
            if let Err(error) = disk.write(start + u64::from(done), piece) {
                return Ok(Err(error));
            }
            done += piece.len() as u32;
        }
        Ok(Ok(()))
    }
}

impl Device for Block {
    fn kind(&self) -> u32 {
        TYPE_BLOCK
    }

    fn features(&self) -> u64 {
        features(self.disk.geometry)
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[QUEUE_SIZE]
    }

    fn config(&self) -> Vec<u8> {
        config(self.disk.geometry, SEGMENTS)
    }

    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}

    fn process(
        &mut self,
        queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        let budget = if self.disk.geometry.writable {
            WRITABLE_BUDGET
        } else {
            BUDGET
        };
        queues.serve(0, budget, |chain| self.serve(chain))
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
