// SPDX-License-Identifier: Apache-2.0
//! Files that lightvmd has handed over and no call has asked for yet.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;

use lightvm_protocol::vmm::failure::Code;

use crate::failure::Refusal;

/// Files that wait at most. lightvmd hands four over before it executes, one before a disk and four
/// before a file system; what is older than this belongs to calls that were never made.
const MAX_WAITING: usize = 64;

/// Open descriptors by the token that lightvmd gave them.
#[derive(Debug, Default)]
pub(crate) struct HandedFiles {
    waiting: VecDeque<(u64, OwnedFd)>,
}

impl HandedFiles {
    /// Keeps files until they are asked for; false when a token is no token or waits already. What
    /// came before it is kept then.
    pub(crate) fn hold(&mut self, files: Vec<(u64, OwnedFd)>) -> bool {
        files
            .into_iter()
            .all(|(token, file)| self.hold_one(token, file))
    }

    fn hold_one(&mut self, token: u64, file: OwnedFd) -> bool {
        if token == 0 || self.waiting.iter().any(|(other, _)| *other == token) {
            return false;
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((token, file));
        true
    }

    /// Closes all files that wait: who knew their tokens is gone.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Gives out the file of a token, once.
    pub(crate) fn take(&mut self, token: u64) -> Result<File, Refusal> {
        let found = self.waiting.iter().position(|(other, _)| *other == token);
        match found.and_then(|index| self.waiting.remove(index)) {
            Some((_, file)) => Ok(File::from(file)),
            None => {
                let message = format!("no file was handed over as {token:#x}");
                Err(Refusal::new(Code::UnknownFile, message))
            }
        }
    }

    /// As [`Self::take`], where token 0 means that there is no file.
    pub(crate) fn take_optional(&mut self, token: u64) -> Result<Option<File>, Refusal> {
        if token == 0 {
            Ok(None)
        } else {
            self.take(token).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn file() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_token_serves_once() {
        let mut files = HandedFiles::default();
        assert!(files.hold(vec![(7, file()), (8, file())]));
        assert!(!files.hold(vec![(7, file())]));
        assert!(files.take(7).is_ok());
        assert_eq!(files.take(7).unwrap_err().code(), Code::UnknownFile);
        assert!(files.take(8).is_ok());
        assert!(files.hold(vec![(7, file())]));
    }

    #[test]
    fn zero_is_no_token() {
        let mut files = HandedFiles::default();
        assert!(!files.hold(vec![(0, file())]));
        assert!(files.take_optional(0).unwrap().is_none());
        assert!(files.take(0).is_err());
        assert!(files.take_optional(1).is_err());
    }

    #[test]
    fn what_is_forgotten_is_closed() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut files = HandedFiles::default();
        assert!(files.hold(vec![(1, far.into())]));
        files.forget();
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        assert!(files.take(1).is_err());
    }

    #[test]
    fn the_oldest_goes_when_too_many_wait() {
        let mut files = HandedFiles::default();
        for token in 1..=65 {
            assert!(files.hold(vec![(token, file())]));
        }
        assert!(files.take(1).is_err());
        assert!(files.take(2).is_ok());
        assert!(files.take(65).is_ok());
    }
}
