// SPDX-License-Identifier: Apache-2.0
//! Requests and configuration of virtio-blk.

use std::io;

use crate::{Chain, DeviceError};

/// Bytes of a sector, the unit of every address, whatever the block size is.
pub(super) const SECTOR: u64 = 512;
/// Bytes of the ID string.
pub(super) const SERIAL_LENGTH: usize = 20;
/// Bytes of a request's header.
pub(super) const HEADER_LENGTH: usize = 16;

/// VIRTIO_BLK_F_SEG_MAX.
const FEATURE_SEGMENTS: u64 = 1 << 2;
/// VIRTIO_BLK_F_RO.
const FEATURE_READ_ONLY: u64 = 1 << 5;
/// VIRTIO_BLK_F_BLK_SIZE.
const FEATURE_BLOCK_SIZE: u64 = 1 << 6;
/// VIRTIO_BLK_F_FLUSH.
const FEATURE_FLUSH: u64 = 1 << 9;

/// A request may carry this much; Linux asks for 1.25 MiB at most.
const MAX_DATA: u32 = 16 << 20;

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

/// The status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

impl Status {
    /// What the guest is told of what the host has done.
    pub(super) fn of(outcome: &io::Result<()>) -> Self {
        match outcome {
            Ok(()) => Self::Ok,
            Err(_) => Self::IoError,
        }
    }
}

/// What requests are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) sectors: u64,
    /// Bytes of a logical block, if they are not 512; requests in sectors are served all the same.
    pub(super) block_size: Option<u32>,
    pub(super) writable: bool,
}

/// A request that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Read `length` bytes at byte `start`; all of it lies on the disk.
    Read { start: u64, length: u32 },
    /// Write `length` bytes, those behind the header, to byte `start`; all of it lies on the disk, which
    /// is writable.
    Write { start: u64, length: u32 },
    /// Write the serial.
    Serial { length: u32 },
    /// Make what was written last; of a disk that is only read, nothing ever is.
    Flush,
    /// Well-formed, but not for this disk.
    Refused(Status),
}

impl Request {
    /// The request in a chain. An error is a chain that isn't a block request at all.
    pub(super) fn parse(chain: &Chain, geometry: Geometry) -> Result<Self, DeviceError> {
        let mut header = [0; HEADER_LENGTH];
        chain
            .read(0, &mut header)
            .map_err(|_| DeviceError::Request("a block request without a header"))?;
        let room = chain
            .writable_length()
            .checked_sub(1)
            .ok_or(DeviceError::Request(
                "a block request without a status byte",
            ))?;
        // No underflow: the header has been read.
        let data = chain.readable_length() - HEADER_LENGTH as u32;
        Ok(Self::from_header(&header, room, data, geometry))
    }

    /// `room` is for the device to fill, `data` are the bytes that it may read behind the header.
    fn from_header(header: &[u8; HEADER_LENGTH], room: u32, data: u32, geometry: Geometry) -> Self {
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = *header;
        let sector = u64::from_le_bytes(sector);
        let refused = Self::Refused(Status::IoError);
        match u32::from_le_bytes([t0, t1, t2, t3]) {
            TYPE_IN => geometry.place(sector, room).map_or(refused, |start| {
                let length = room;
                Self::Read { start, length }
            }),
            TYPE_OUT if !geometry.writable => refused,
            TYPE_OUT => geometry.place(sector, data).map_or(refused, |start| {
                let length = data;
                Self::Write { start, length }
            }),
            TYPE_FLUSH => Self::Flush,
            TYPE_GET_ID => Self::Serial {
                length: room.min(SERIAL_LENGTH as u32),
            },
            _ => Self::Refused(Status::Unsupported),
        }
    }
}

impl Geometry {
    /// The byte at which `length` bytes from `sector` on begin, if all of them are whole sectors of
    /// the disk and not too many.
    fn place(self, sector: u64, length: u32) -> Option<u64> {
        let whole = u64::from(length) % SECTOR == 0;
        let end = sector.checked_add(u64::from(length) / SECTOR)?;
        // No overflow: it lies on the disk, whose size in bytes fits.
        (whole && length <= MAX_DATA && end <= self.sectors).then(|| sector * SECTOR)
    }
}

/// What a disk offers.
pub(super) fn features(geometry: Geometry) -> u64 {
    let mut features = FEATURE_SEGMENTS | FEATURE_FLUSH;
    if !geometry.writable {
        features |= FEATURE_READ_ONLY;
    }
    if geometry.block_size.is_some() {
        features |= FEATURE_BLOCK_SIZE;
    }
    features
}

/// struct virtio_blk_config as far as the features go: capacity, size_max, seg_max, geometry (of
/// cylinders and heads, none), blk_size.
pub(super) fn config(geometry: Geometry, segments: u32) -> Vec<u8> {
    let mut bytes = geometry.sectors.to_le_bytes().to_vec();
    bytes.extend([0, segments].map(u32::to_le_bytes).concat());
    if let Some(block_size) = geometry.block_size {
        bytes.extend([0, block_size].map(u32::to_le_bytes).concat());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_ONLY: Geometry = Geometry {
        sectors: 8,
        block_size: None,
        writable: false,
    };
    const WRITABLE: Geometry = Geometry {
        writable: true,
        block_size: Some(4096),
        ..READ_ONLY
    };

    fn header(kind: u32, sector: u64) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0xee; HEADER_LENGTH];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&sector.to_le_bytes());
        bytes
    }

    /// Sector and bytes of requests, and where those that lie on the disk begin.
    const PLACES: [(u64, u32, Option<u64>); 10] = [
        (0, 512, Some(0)),
        (7, 512, Some(7 * 512)),
        (8, 0, Some(4096)),
        (8, 512, None),
        (0, 511, None),
        (0, 513, None),
        (u64::MAX, 512, None),
        (u64::MAX, 0, None),
        (1 << 55, 512, None),
        (0, u32::MAX, None),
    ];

    #[test]
    fn reads_lie_on_the_disk() {
        for (sector, length, start) in PLACES {
            let got = Request::from_header(&header(TYPE_IN, sector), length, 0, READ_ONLY);
            let refused = Request::Refused(Status::IoError);
            let expected = start.map_or(refused, |start| Request::Read { start, length });
            assert_eq!(got, expected, "sector {sector}, {length} bytes");
        }
    }

    #[test]
    fn writes_lie_on_a_writable_disk() {
        let refused = Request::Refused(Status::IoError);
        for (sector, length, start) in PLACES {
            let header = header(TYPE_OUT, sector);
            let got = Request::from_header(&header, 0, length, WRITABLE);
            let expected = start.map_or(refused, |start| Request::Write { start, length });
            assert_eq!(got, expected, "sector {sector}, {length} bytes");
            let got = Request::from_header(&header, 0, length, READ_ONLY);
            assert_eq!(got, refused);
        }
    }

    #[test]
    fn other_requests_become_what_they_may_do() {
        let unsupported = Request::Refused(Status::Unsupported);
        let table = [
            (TYPE_FLUSH, 0, Request::Flush),
            (TYPE_GET_ID, 4096, Request::Serial { length: 20 }),
            (TYPE_GET_ID, 3, Request::Serial { length: 3 }),
            (11, 512, unsupported),
            (u32::MAX, 0, unsupported),
        ];
        for (kind, room, expected) in table {
            for geometry in [READ_ONLY, WRITABLE] {
                let got = Request::from_header(&header(kind, 9), room, 0, geometry);
                assert_eq!(got, expected, "type {kind}, {room} bytes");
            }
        }
    }

    #[test]
    fn a_disk_says_what_it_is() {
        assert_eq!(features(READ_ONLY), (1 << 2) | (1 << 5) | (1 << 9));
        assert_eq!(features(WRITABLE), (1 << 2) | (1 << 6) | (1 << 9));
        assert_eq!(config(READ_ONLY, 126).len(), 16);
        let config = config(WRITABLE, 126);
        assert_eq!(config[..8], 8u64.to_le_bytes());
        assert_eq!(config[12..16], 126u32.to_le_bytes());
        assert_eq!(config[20..], 4096u32.to_le_bytes());
    }
}
