// SPDX-License-Identifier: Apache-2.0
//! Requests and configuration of virtio-blk.

use crate::{Chain, DeviceError};

/// Bytes of a sector, the unit of every address, whatever the block size is.
pub(super) const SECTOR: u64 = 512;
/// Bytes of the ID string.
pub(super) const SERIAL_LENGTH: usize = 20;

/// VIRTIO_BLK_F_SEG_MAX.
const FEATURE_SEGMENTS: u64 = 1 << 2;
/// VIRTIO_BLK_F_RO.
const FEATURE_READ_ONLY: u64 = 1 << 5;
/// VIRTIO_BLK_F_FLUSH.
const FEATURE_FLUSH: u64 = 1 << 9;

/// What a disk offers.
pub(super) const FEATURES: u64 = FEATURE_SEGMENTS | FEATURE_READ_ONLY | FEATURE_FLUSH;

const HEADER_LENGTH: usize = 16;
/// A request may ask for this much; Linux asks for 1.25 MiB at most.
const MAX_READ: u32 = 16 << 20;

const TYPE_IN: u32 = 0;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;
const TYPE_OUT: u32 = 1;

/// The status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

/// A request that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Read `length` bytes at byte `start`; all of it lies on the disk.
    Read { start: u64, length: u32 },
    /// Write the serial.
    Serial { length: u32 },
    /// Nothing is ever dirty.
    Flush,
    /// Well-formed, but not for this disk.
    Refused(Status),
}

impl Request {
    /// The request in a chain. An error is a chain that isn't a block request at all.
    pub(super) fn parse(chain: &Chain, sectors: u64) -> Result<Self, DeviceError> {
        let mut header = [0; HEADER_LENGTH];
        chain
            .read(0, &mut header)
            .map_err(|_| DeviceError::Request("a block request without a header"))?;
        let room = chain.writable_length();
        let data = room.checked_sub(1).ok_or(DeviceError::Request(
            "a block request without a status byte",
        ))?;
        Ok(Self::from_header(&header, data, sectors))
    }

    fn from_header(header: &[u8; HEADER_LENGTH], data: u32, sectors: u64) -> Self {
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = *header;
        match u32::from_le_bytes([t0, t1, t2, t3]) {
            TYPE_IN => Self::read(u64::from_le_bytes(sector), data, sectors),
            TYPE_OUT => Self::Refused(Status::IoError),
            TYPE_FLUSH => Self::Flush,
            TYPE_GET_ID => Self::Serial {
                length: data.min(SERIAL_LENGTH as u32),
            },
            _ => Self::Refused(Status::Unsupported),
        }
    }

    fn read(sector: u64, length: u32, sectors: u64) -> Self {
        let whole = u64::from(length) % SECTOR == 0;
        let end = sector.checked_add(u64::from(length) / SECTOR);
        if whole && length <= MAX_READ && end.is_some_and(|end| end <= sectors) {
            // No overflow: it lies on the disk, whose size in bytes fits.
            let start = sector * SECTOR;
            Self::Read { start, length }
        } else {
            Self::Refused(Status::IoError)
        }
    }
}

/// struct virtio_blk_config as far as the features go: capacity, size_max, seg_max.
pub(super) fn config(sectors: u64, segments: u32) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(segments.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u32, sector: u64) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0xee; HEADER_LENGTH];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&sector.to_le_bytes());
        bytes
    }

    #[test]
    fn requests_become_what_they_may_do() {
        let refused = Request::Refused(Status::IoError);
        let read = |start, length| Request::Read { start, length };
        let table = [
            (TYPE_IN, 0, 512, read(0, 512)),
            (TYPE_IN, 7, 512, read(7 * 512, 512)),
            (TYPE_IN, 8, 0, read(4096, 0)),
            (TYPE_IN, 8, 512, refused),
            (TYPE_IN, 0, 511, refused),
            (TYPE_IN, 0, 513, refused),
            (TYPE_IN, u64::MAX, 512, refused),
            (TYPE_IN, u64::MAX, 0, refused),
            (TYPE_IN, 1 << 55, 512, refused),
            (TYPE_IN, 0, u32::MAX, refused),
            (TYPE_OUT, 0, 512, refused),
            (TYPE_FLUSH, 9, 0, Request::Flush),
            (TYPE_GET_ID, 0, 4096, Request::Serial { length: 20 }),
            (TYPE_GET_ID, 0, 3, Request::Serial { length: 3 }),
            (11, 0, 512, Request::Refused(Status::Unsupported)),
            (u32::MAX, 0, 0, Request::Refused(Status::Unsupported)),
        ];
        for (kind, sector, data, expected) in table {
            let got = Request::from_header(&header(kind, sector), data, 8);
            assert_eq!(got, expected, "type {kind}, sector {sector}, {data} bytes");
        }
    }
}
