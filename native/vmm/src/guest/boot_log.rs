// SPDX-License-Identifier: Apache-2.0
//! The guest's console, appended to a file of bounded size.

use std::fs::File;
use std::io::{self, Write};

/// Most bytes that one guest may have logged: a boot takes some tens of kilobytes.
const MAX_BYTES: usize = 1 << 20;

const END: &[u8] = b"\n[the boot log ends here: it is full]\n";

/// The boot log of one guest; without a file the console is dropped.
#[derive(Debug)]
pub(crate) struct BootLog {
    file: Option<File>,
    room: usize,
}

impl BootLog {
    /// An empty log at the end of `file`.
    pub(crate) fn new(file: Option<File>) -> Self {
        Self {
            file,
            room: MAX_BYTES,
        }
    }

    /// Appends what the guest printed, as long as there is room.
    ///
    /// # Errors
    ///
    /// The file can't be written; nothing more will be tried.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written = if bytes.len() <= self.room {
            self.room -= bytes.len();
            file.write_all(bytes)
        } else {
            let last = [&bytes[..self.room], END].concat();
            let written = file.write_all(&last);
            self.file = None;
            written
        };
        if written.is_err() {
            self.file = None;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_files::TestFile;

    #[test]
    fn a_guest_cannot_fill_the_disk() {
        let file = TestFile::new("boot-log");
        let mut log = BootLog::new(Some(file.append()));
        for _ in 0..(MAX_BYTES / 1000 + 10) {
            log.append(&[b'x'; 1000]).unwrap();
        }
        let text = file.text();
        assert_eq!(text.len(), MAX_BYTES + END.len());
        assert!(text.ends_with("it is full]\n"));
    }

    #[test]
    fn an_error_is_told_once() {
        let file = TestFile::new("boot-log-read-only");
        let mut log = BootLog::new(Some(File::open(file.path()).unwrap()));
        assert!(log.append(b"x").is_err());
        assert!(log.append(b"x").is_ok());
    }
}
