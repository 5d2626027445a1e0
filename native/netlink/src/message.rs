// SPDX-License-Identifier: Apache-2.0
//! Messages as bytes: a header, a structure of the request's own, attributes (netlink(7)).

use std::io;

/// Bytes of struct nlmsghdr.
pub(crate) const HEADER: usize = 16;
/// Bytes of struct nlattr.
const ATTRIBUTE_HEADER: usize = 4;
/// The upper bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACKNOWLEDGE: u16 = 4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;

/// A request that is being written.
#[derive(Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request with the structure that its kind wants.
    pub(crate) fn new(kind: u16, flags: u16, structure: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]); // sequence, port
        bytes.extend(structure);
        let mut request = Self(bytes);
        request.pad();
        request
    }

    /// Adds an attribute.
    pub(crate) fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.nest(kind, |mut request| {
            request.0.extend(value);
            request
        })
    }

    /// Adds a string, with the zero that the kernel expects.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds a number.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds an attribute whose value is attributes.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        let mut filled = fill(self);
        // Requests of ours are some hundred bytes long.
        let length = (filled.0.len() - start) as u16;
        filled.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled.pad();
        filled
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// The whole request, with its number.
    pub(crate) fn bytes(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// The messages of one datagram.
pub(crate) fn answers(mut bytes: &[u8]) -> io::Result<Vec<Answer<'_>>> {
    let mut list = Vec::new();
    while !bytes.is_empty() {
        let length = number(bytes, 0)? as usize;
        let body = bytes.get(HEADER..length).ok_or_else(malformed)?;
        list.push(Answer {
            kind: half(bytes, 4)?,
            sequence: number(bytes, 8)?,
            body,
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(list)
}

/// The value of the first attribute of a kind.
pub(crate) fn find(mut bytes: &[u8], kind: u16) -> io::Result<Option<&[u8]>> {
    while !bytes.is_empty() {
        let length = usize::from(half(bytes, 0)?);
        let value = bytes.get(ATTRIBUTE_HEADER..length).ok_or_else(malformed)?;
        if half(bytes, 2)? & TYPE_MASK == kind {
            return Ok(Some(value));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

/// A number at a place of a structure.
pub(crate) fn number(bytes: &[u8], offset: usize) -> io::Result<u32> {
    let place = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    place
        .map(|bytes| u32::from_ne_bytes(*bytes))
        .ok_or_else(malformed)
}

/// A 16-bit number at a place of a structure.
pub(crate) fn half(bytes: &[u8], offset: usize) -> io::Result<u16> {
    let place = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    place
        .map(|bytes| u16::from_ne_bytes(*bytes))
        .ok_or_else(malformed)
}

/// A byte at a place of a structure.
pub(crate) fn byte(bytes: &[u8], offset: usize) -> io::Result<u8> {
    bytes.get(offset).copied().ok_or_else(malformed)
}

pub(crate) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed netlink answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says_and_its_attributes_are_found_again() {
        let request = Request::new(16, ACKNOWLEDGE, &[7; 16])
            .text(3, "eth0")
            .nest(2, |nested| nested.number(1, 1500).attribute(9, &[1, 2, 3]))
            .number(4, 9);
        let bytes = request.bytes(77);
        assert_eq!(bytes.len() % 4, 0);
        let answers = answers(&bytes).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].kind, answers[0].sequence), (16, 77));
        let attributes = &answers[0].body[16..];
        assert_eq!(find(attributes, 3).unwrap().unwrap(), b"eth0\0");
        let nested = find(attributes, 2).unwrap().unwrap();
        assert_eq!(find(nested, 9).unwrap().unwrap(), [1, 2, 3]);
        assert_eq!(find(nested, 4).unwrap(), None);
        assert_eq!(number(find(attributes, 4).unwrap().unwrap(), 0).unwrap(), 9);
    }

    #[test]
    fn what_is_cut_off_is_malformed() {
        assert!(answers(&[1]).is_err());
        let mut long = Request::new(1, 0, &[]).bytes(1);
        long[0] = 200;
        assert!(answers(&long).is_err());
        long[0] = 3;
        assert!(answers(&long).is_err());
        assert!(find(&[9, 0, 1, 0], 1).is_err());
        assert!(find(&[0, 0, 1, 0], 1).is_err());
    }
}
