// SPDX-License-Identifier: Apache-2.0
//! virtio-blk, read-only, backed by a file.

use std::any::Any;
use std::fmt;
use std::fs::File;

use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// Why a file can't be a disk.
#[derive(Debug)]
pub enum BlockError {
    /// The file's size can't be read.
    Size(std::io::Error),
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
pub struct Block;

impl Block {
    /// A disk with the file's content, padded with zeros to whole sectors.
    pub fn new(_file: File, _serial: &str) -> Result<Self, BlockError> {
        todo!()
    }
}

impl Device for Block {
    fn kind(&self) -> u32 {
        todo!()
    }
    fn queue_sizes(&self) -> &'static [u16] {
        todo!()
    }
    fn config(&self) -> Vec<u8> {
        todo!()
    }
    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {}
    fn process(
        &mut self,
        _queues: &mut Queues,
        _events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        todo!()
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
