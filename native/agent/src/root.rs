// SPDX-License-Identifier: Apache-2.0
//! Files of a container as the agent sees them from outside.
//!
//! An image is hostile: its symlinks may lead anywhere. Every path is therefore resolved by the
//! kernel as if the container's root were `/`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::Errno;

use crate::command::Candidate;

/// Most bytes read of a configuration file of an image.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The root directory of a container.
#[derive(Debug)]
pub struct ContainerRoot(OwnedFd);

impl ContainerRoot {
    /// Opens the root at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(
            &self.0,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    }

    /// Where a path in here leads, as the agent itself gets there. That stays true where nobody
    /// can write, as in an image.
    pub fn locate(&self, path: &Path) -> io::Result<PathBuf> {
        let found = self.open_inside(path, OFlags::PATH)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// The text of a regular file, empty when there is none. What is no UTF-8 becomes U+FFFD.
    pub fn read_text(&self, path: &Path) -> io::Result<String> {
        // O_PATH first: opening a pipe or device of the image for reading could block or do things.
        let handle = match self.open_inside(path, OFlags::PATH) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&handle)?.st_mode) != FileType::RegularFile {
            return Ok(String::new());
        }
        drop(handle);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut bytes = Vec::new();
        let file = File::from(self.open_inside(path, flags)?);
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What a command path stands for.
    pub fn look(&self, path: &Path) -> Candidate {
        match self.open_inside(path, OFlags::PATH).and_then(fstat) {
            Err(Errno::ACCESS) => Candidate::NotExecutable,
            Err(_) => Candidate::Missing,
            Ok(stat) => candidate(stat.st_mode),
        }
    }
}

/// What a command path of our own root stands for.
pub fn look_here(path: &Path) -> Candidate {
    match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(fstat) {
        Err(Errno::ACCESS) => Candidate::NotExecutable,
        Err(_) => Candidate::Missing,
        Ok(stat) => candidate(stat.st_mode),
    }
}

fn candidate(mode: u32) -> Candidate {
    let executable = mode & 0o111 != 0;
    match (FileType::from_raw_mode(mode), executable) {
        (FileType::RegularFile, true) => Candidate::Executable,
        _ => Candidate::NotExecutable,
    }
}
