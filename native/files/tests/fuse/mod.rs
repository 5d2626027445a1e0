// SPDX-License-Identifier: Apache-2.0
//! The guest's side of FUSE, as far as tests need it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

pub(crate) const LOOKUP: u32 = 1;
pub(crate) const OPEN: u32 = 14;
pub(crate) const READ: u32 = 15;
pub(crate) const INIT: u32 = 26;
/// The node of the root directory.
pub(crate) const ROOT: u64 = 1;
/// struct fuse_in_header.
pub(crate) const HEADER: usize = 40;

/// A message from root.
pub(crate) fn message(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + body.len()) as u32).to_le_bytes().to_vec();
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(7u64.to_le_bytes());
    bytes.extend(node.to_le_bytes());
    // uid, gid, pid; extensions
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

/// One channel to a file server.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
}

impl Client {
    /// The answer's error and body.
    pub(crate) fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> (i32, Vec<u8>) {
        self.stream.write_all(&message(opcode, node, body)).unwrap();
        self.answer()
    }

    /// The answer's error for a user and a group of this number.
    #[allow(dead_code, reason = "not all tests that share this file have users")]
    pub(crate) fn ask_as(&mut self, id: u32, opcode: u32, node: u64, body: &[u8]) -> i32 {
        let mut bytes = message(opcode, node, body);
        bytes[24..28].copy_from_slice(&id.to_le_bytes());
        bytes[28..32].copy_from_slice(&id.to_le_bytes());
        self.stream.write_all(&bytes).unwrap();
        self.answer().0
    }

    pub(crate) fn answer(&mut self) -> (i32, Vec<u8>) {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header).unwrap();
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let error = i32::from_le_bytes(header[4..8].try_into().unwrap());
        assert_eq!(header[8..], 7u64.to_le_bytes());
        let mut body = vec![0; length - header.len()];
        self.stream.read_exact(&mut body).unwrap();
        (error, body)
    }

    /// Agrees on whatever the server offers.
    pub(crate) fn start(&mut self) {
        let mut body = Vec::new();
        // Version 7.39, read-ahead, and every flag that there is.
        for word in [7u32, 39, 1 << 17, u32::MAX] {
            body.extend(word.to_le_bytes());
        }
        body.extend([0xff; 48]);
        let (error, body) = self.ask(INIT, 0, &body);
        assert_eq!((error, &body[..4]), (0, &7u32.to_le_bytes()[..]));
    }

    /// The node of a name, or the error.
    pub(crate) fn lookup(&mut self, parent: u64, name: &str) -> Result<u64, i32> {
        match self.ask(LOOKUP, parent, format!("{name}\0").as_bytes()) {
            (0, entry) => Ok(u64::from_le_bytes(entry[..8].try_into().unwrap())),
            (error, _) => Err(-error),
        }
    }

    /// The first bytes of a file.
    pub(crate) fn read(&mut self, node: u64) -> Vec<u8> {
        let (error, opened) = self.ask(OPEN, node, &[0; 8]);
        assert_eq!(error, 0);
        let mut body = opened[..8].to_vec();
        body.extend(0u64.to_le_bytes());
        body.extend(4096u32.to_le_bytes());
        body.extend([0; 20]);
        let (error, content) = self.ask(READ, node, &body);
        assert_eq!(error, 0);
        content
    }
}
