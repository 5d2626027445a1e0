// SPDX-License-Identifier: Apache-2.0
//! How much memory this process has to itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Linux' summary of this process's maps (Documentation/filesystems/proc.rst). The guest's memory
/// is not in it: a foreign map has no pages of ours.
const PATH: &str = "/proc/self/smaps_rollup";

/// The summary, opened while paths can still be followed.
#[derive(Debug)]
pub(crate) struct ResidentMemory {
    summary: File,
}

impl ResidentMemory {
    /// Opens the summary.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            summary: File::open(PATH)?,
        })
    }

    /// Private bytes in RAM.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        // In one read: each makes the kernel walk the maps again. It has some 800 bytes.
        let mut text = [0; 4096];
        let length = self.summary.read_at(&mut text, 0)?;
        Ok(private_bytes(&String::from_utf8_lossy(&text[..length])))
    }
}

fn private_bytes(summary: &str) -> u64 {
    let fields = summary.lines().filter(|line| line.starts_with("Private_"));
    let kibibytes = fields.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_is_private() {
        let text = "Rss: 9 kB\nPss: 8 kB\nShared_Clean: 7 kB\nPrivate_Clean:  8 kB\nPrivate_Dirty: 100 kB\n";
        assert_eq!(private_bytes(text), 108 * 1024);
    }

    #[test]
    fn this_process_has_some() {
        let memory = ResidentMemory::open().unwrap();
        assert!(memory.bytes().unwrap() > 0);
        assert!(memory.bytes().unwrap() > 0);
    }
}
