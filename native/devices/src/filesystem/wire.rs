// SPDX-License-Identifier: Apache-2.0
//! Headers of FUSE messages (Linux' include/uapi/linux/fuse.h) and configuration of virtio-fs.

use crate::{Chain, DeviceError};

/// Bytes of a tag, padded with zeros.
pub(super) const TAG_LENGTH: usize = 36;
/// struct fuse_in_header.
pub(super) const REQUEST_HEADER: usize = 40;
/// struct fuse_out_header.
pub(super) const ANSWER_HEADER: usize = 16;
/// A message may be this long: 256 pages of data, and a page of headers.
const MAX_MESSAGE: u32 = (256 + 1) * 4096;

const FORGET: u32 = 2;
const INTERRUPT: u32 = 36;
const NOTIFY_REPLY: u32 = 41;
const BATCH_FORGET: u32 = 42;

/// What is to know of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// As it was read, once: the part of the message that must stay what was checked.
    pub(super) header: [u8; REQUEST_HEADER],
    /// Of the whole message.
    pub(super) length: u32,
    /// Repeated in the answer.
    pub(super) unique: u64,
    /// An answer follows.
    pub(super) answered: bool,
}

impl Request {
    /// The request in a chain.
    pub(super) fn parse(chain: &Chain) -> Result<Self, DeviceError> {
        let mut header = [0; REQUEST_HEADER];
        chain
            .read(0, &mut header)
            .map_err(|_| DeviceError::Request("a FUSE message without a header"))?;
        let request = Self::from_header(header)?;
        if request.length != chain.readable_length() {
            return Err(DeviceError::Request("a FUSE message with a wrong length"));
        }
        if request.answered && (chain.writable_length() as usize) < ANSWER_HEADER {
            return Err(DeviceError::Request(
                "a FUSE message without room for an answer",
            ));
        }
        Ok(request)
    }

    fn from_header(header: [u8; REQUEST_HEADER]) -> Result<Self, DeviceError> {
        let length = word(&header, 0);
        if length as usize > MAX_MESSAGE as usize || (length as usize) < REQUEST_HEADER {
            return Err(DeviceError::Request("a FUSE message with a wrong length"));
        }
        let answered = match word(&header, 4) {
            FORGET | BATCH_FORGET | INTERRUPT => false,
            // An answer to a question that we never ask.
            NOTIFY_REPLY => return Err(DeviceError::Request("a FUSE message out of place")),
            _ => true,
        };
        Ok(Self {
            header,
            length,
            unique: long(&header, 8),
            answered,
        })
    }
}

/// The length of an answer: the server's word, so it is checked like the guest's.
pub(super) fn answer_length(header: &[u8; ANSWER_HEADER], unique: u64) -> Option<u32> {
    let length = word(header, 0);
    let whole = (ANSWER_HEADER as u32..=MAX_MESSAGE).contains(&length);
    (whole && long(header, 8) == unique).then_some(length)
}

/// struct virtio_fs_config: the tag, and the number of request queues.
pub(super) fn config(tag: &[u8; TAG_LENGTH]) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | (u64::from(word(bytes, at + 4)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32, opcode: u32) -> [u8; REQUEST_HEADER] {
        let mut header = [0xee; REQUEST_HEADER];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..8].copy_from_slice(&opcode.to_le_bytes());
        header[8..16].copy_from_slice(&7u64.to_le_bytes());
        header
    }

    #[test]
    fn headers_say_how_long_and_whether_an_answer_follows() {
        for (opcode, answered) in [(1, true), (2, false), (36, false), (42, false), (999, true)] {
            let request = Request::from_header(header(40, opcode)).unwrap();
            assert_eq!(request.answered, answered, "opcode {opcode}");
            assert_eq!((request.length, request.unique), (40, 7));
        }
        for length in [0, 39, MAX_MESSAGE + 1, u32::MAX] {
            assert!(Request::from_header(header(length, 1)).is_err(), "{length}");
        }
        assert!(Request::from_header(header(40, NOTIFY_REPLY)).is_err());
    }

    #[test]
    fn answers_are_of_their_request() {
        let mut answer = [0; ANSWER_HEADER];
        answer[..4].copy_from_slice(&16u32.to_le_bytes());
        answer[8..].copy_from_slice(&7u64.to_le_bytes());
        assert_eq!(answer_length(&answer, 7), Some(16));
        assert_eq!(answer_length(&answer, 8), None);
        for length in [0, 15, MAX_MESSAGE + 1, u32::MAX] {
            answer[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(answer_length(&answer, 7), None, "{length}");
        }
    }
}
