// SPDX-License-Identifier: Apache-2.0
//! Files of unit tests, removed when the test is over.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// An empty file of one test.
pub(crate) struct TestFile(PathBuf);

impl TestFile {
    /// Makes the file; `name` is unique among the tests of this crate.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lightvm-vmm-{}-{name}", std::process::id()));
        File::create(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens it as lightvmd opens the files that it hands over.
    pub(crate) fn append(&self) -> File {
        OpenOptions::new().append(true).open(&self.0).unwrap()
    }

    /// What is in it.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        // A file that a test leaves in the temporary directory does not make the test fail.
        drop(fs::remove_file(&self.0));
    }
}
