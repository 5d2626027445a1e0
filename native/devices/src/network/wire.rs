// SPDX-License-Identifier: Apache-2.0
//! Features, configuration and frame headers of virtio-net.

/// Bytes of the header before each frame (struct virtio_net_hdr_v1).
pub(super) const HEADER_LENGTH: usize = 12;
/// The longest frame with its header: a TCP segment of 64 KiB, an Ethernet header and a VLAN tag.
pub(super) const MAX_FRAME: usize = HEADER_LENGTH + 18 + 65535;
/// The shortest frame that has somewhere to go: an Ethernet header.
const MIN_FRAME: usize = 14;
/// Where the header says how many buffers a frame takes.
pub(super) const BUFFER_COUNT_OFFSET: u32 = 10;

/// VIRTIO_NET_F_CSUM: the guest may leave checksums to us.
const FEATURE_CHECKSUM: u64 = 1 << 0;
/// VIRTIO_NET_F_GUEST_CSUM: we may leave checksums to the guest.
const FEATURE_GUEST_CHECKSUM: u64 = 1 << 1;
/// VIRTIO_NET_F_MTU.
const FEATURE_MTU: u64 = 1 << 3;
/// VIRTIO_NET_F_MAC.
const FEATURE_MAC: u64 = 1 << 5;
/// VIRTIO_NET_F_GUEST_TSO4, _TSO6, _ECN: the guest takes segments that are still to be cut.
const FEATURE_GUEST_SEGMENTS: u64 = (1 << 7) | (1 << 8) | (1 << 9);
/// VIRTIO_NET_F_HOST_TSO4, _TSO6, _ECN: we take segments that are still to be cut.
const FEATURE_HOST_SEGMENTS: u64 = (1 << 11) | (1 << 12) | (1 << 13);
/// VIRTIO_NET_F_MRG_RXBUF: a frame may take several receive buffers.
pub(super) const FEATURE_MERGE: u64 = 1 << 15;
/// VIRTIO_NET_F_STATUS.
const FEATURE_STATUS: u64 = 1 << 16;

/// What a tap with offloads may do to the guest; a driver that can't take it can't have this device.
pub(super) const NEEDED_WITH_OFFLOADS: u64 = FEATURE_GUEST_CHECKSUM | FEATURE_GUEST_SEGMENTS;

/// What a device offers.
pub(super) fn features(offloads: bool) -> u64 {
    let always = FEATURE_MTU | FEATURE_MAC | FEATURE_MERGE | FEATURE_STATUS;
    if offloads {
        always | FEATURE_CHECKSUM | FEATURE_HOST_SEGMENTS | NEEDED_WITH_OFFLOADS
    } else {
        always
    }
}

/// struct virtio_net_config as far as the features go: mac, status, max_virtqueue_pairs, mtu.
pub(super) fn config(mac: [u8; 6], link_up: bool, mtu: u16) -> Vec<u8> {
    let mut bytes = mac.to_vec();
    bytes.extend(u16::from(link_up).to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(mtu.to_le_bytes());
    bytes
}

const FLAG_NEEDS_CHECKSUM: u8 = 1;
const SEGMENT_NONE: u8 = 0;
const SEGMENT_TCP4: u8 = 1;
const SEGMENT_TCP6: u8 = 4;
/// May be added to both: the segment has congestion marks.
const SEGMENT_ECN: u8 = 0x80;

/// Where a checksum is still to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum {
    start: u16,
    offset: u16,
}

/// How a TCP segment is still to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segments {
    kind: u8,
    header_length: u16,
    size: u16,
}

/// The header of a frame from the guest, as dom0's kernel may see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameHeader {
    checksum: Option<Checksum>,
    segments: Option<Segments>,
}

impl FrameHeader {
    /// The header of a frame of `length` bytes; none when the two do not fit together, or when it
    /// asks for what was not offered. Such a frame goes nowhere.
    pub(super) fn parse(
        bytes: &[u8; HEADER_LENGTH],
        length: usize,
        offloads: bool,
    ) -> Option<Self> {
        let [flags, kind, rest @ ..] = *bytes;
        let half = |index: usize| u16::from_le_bytes([rest[index], rest[index + 1]]);
        let (header_length, size, start, offset) = (half(0), half(2), half(4), half(6));
        let checksum = (flags & FLAG_NEEDS_CHECKSUM != 0).then_some(Checksum { start, offset });
        let segments = (kind != SEGMENT_NONE).then_some(Segments {
            kind,
            header_length,
            size,
        });
        let header = Self { checksum, segments };
        let asks = header != Self::default();
        let possible = length >= MIN_FRAME
            && flags & !FLAG_NEEDS_CHECKSUM == 0
            && (offloads || !asks)
            && checksum.is_none_or(|checksum| checksum.fits(length))
            && segments.is_none_or(|segments| checksum.is_some() && segments.fits(length));
        possible.then_some(header)
    }

    /// The header for the tap.
    pub(super) fn to_tap(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        if let Some(Checksum { start, offset }) = self.checksum {
            bytes[0] = FLAG_NEEDS_CHECKSUM;
            bytes[6..8].copy_from_slice(&start.to_le_bytes());
            bytes[8..10].copy_from_slice(&offset.to_le_bytes());
        }
        if let Some(segments) = self.segments {
            bytes[1] = segments.kind;
            bytes[2..4].copy_from_slice(&segments.header_length.to_le_bytes());
            bytes[4..6].copy_from_slice(&segments.size.to_le_bytes());
        }
        bytes
    }
}

impl Checksum {
    fn fits(self, length: usize) -> bool {
        usize::from(self.start) + usize::from(self.offset) + 2 <= length
    }
}

impl Segments {
    fn fits(self, length: usize) -> bool {
        let known = matches!(self.kind & !SEGMENT_ECN, SEGMENT_TCP4 | SEGMENT_TCP6);
        known && self.size > 0 && usize::from(self.header_length) <= length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, kind: u8, fields: [u16; 5]) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = flags;
        bytes[1] = kind;
        for (place, field) in bytes[2..].chunks_exact_mut(2).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn good_headers_reach_the_tap_unchanged_but_for_the_buffer_count() {
        let good = [
            (header(0, 0, [0, 0, 0, 0, 0]), 14),
            (header(1, 0, [0, 0, 34, 16, 0]), 60),
            (header(1, 1, [54, 1448, 34, 16, 0]), 65000),
            (header(1, 4, [74, 1428, 54, 16, 0]), 65000),
            (header(1, 0x81, [54, 1448, 34, 16, 0]), 65000),
        ];
        for (bytes, length) in good {
            let parsed = FrameHeader::parse(&bytes, length, true).unwrap();
            assert_eq!(parsed.to_tap(), bytes);
        }
        let counted = header(0, 0, [0, 0, 0, 0, 9]);
        let parsed = FrameHeader::parse(&counted, 60, false).unwrap();
        assert_eq!(parsed.to_tap(), [0; HEADER_LENGTH]);
    }

    #[test]
    fn what_is_not_asked_for_is_not_passed_on() {
        let stray = header(0, 0, [9, 9, 9, 9, 9]);
        let parsed = FrameHeader::parse(&stray, 60, true).unwrap();
        assert_eq!(parsed.to_tap(), [0; HEADER_LENGTH]);
    }

    #[test]
    fn headers_that_do_not_fit_their_frame_are_none() {
        let bad = [
            ("shorter than Ethernet", header(0, 0, [0; 5]), 13),
            ("unknown flag", header(2, 0, [0; 5]), 60),
            (
                "checksum behind the end",
                header(1, 0, [0, 0, 34, 25, 0]),
                60,
            ),
            (
                "checksum far behind the end",
                header(1, 0, [0, 0, 0xffff, 0xffff, 0]),
                65000,
            ),
            (
                "segments without a checksum",
                header(0, 1, [54, 1448, 34, 16, 0]),
                6000,
            ),
            (
                "segments of nothing",
                header(1, 1, [54, 0, 34, 16, 0]),
                6000,
            ),
            (
                "a header longer than the frame",
                header(1, 1, [61, 10, 34, 16, 0]),
                60,
            ),
            (
                "UDP segments, not offered",
                header(1, 3, [54, 1448, 34, 6, 0]),
                6000,
            ),
            (
                "unknown segments",
                header(1, 0x7f, [54, 1448, 34, 16, 0]),
                6000,
            ),
            ("marks only", header(1, 0x80, [54, 1448, 34, 16, 0]), 6000),
        ];
        for (what, bytes, length) in bad {
            assert_eq!(FrameHeader::parse(&bytes, length, true), None, "{what}");
        }
        let checksum = header(1, 0, [0, 0, 34, 16, 0]);
        assert!(FrameHeader::parse(&checksum, 60, true).is_some());
        assert_eq!(FrameHeader::parse(&checksum, 60, false), None);
    }

    #[test]
    fn the_configuration_is_laid_out_as_the_standard_says() {
        let bytes = config([2, 0, 0, 0, 0, 1], true, 1500);
        assert_eq!(bytes, [2, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0xdc, 5]);
    }
}
