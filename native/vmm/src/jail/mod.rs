// SPDX-License-Identifier: Apache-2.0
//! How this process gives up what it was started with: its files, its user, its capabilities, and
//! the system calls that it will not need again.
//!
//! What it keeps are descriptors: the domain's memory, its event channels, its log, and lightvmd's
//! connections, over which more files come.

mod privileges;
#[cfg(test)]
mod rules;
mod seccomp;

use std::fs;
use std::path::{Path, PathBuf};

use lightvm_jail::JailError;

use crate::failure::{Refusal, invalid};

/// Where this process goes and as whom, checked.
#[derive(Debug)]
pub(crate) struct Jail {
    directory: PathBuf,
    uid: u32,
    gid: u32,
}

impl Jail {
    /// Checks what the caller asks for: an absolute path of an empty directory, and ids that are
    /// not root's.
    pub(crate) fn new(directory: &str, uid: u32, gid: u32) -> Result<Self, Refusal> {
        // u32::MAX means "leave as it is" to setresuid(2).
        if [uid, gid].iter().any(|&id| id == 0 || id == u32::MAX) {
            return Err(invalid(format!(
                "uid {uid} and gid {gid} cannot be a VMM's"
            )));
        }
        let path = Path::new(directory);
        if !path.is_absolute() {
            return Err(invalid(format!(
                "jail directory {directory:?} is not absolute"
            )));
        }
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(Self {
                directory: path.to_owned(),
                uid,
                gid,
            }),
            Ok(false) => Err(invalid(format!("jail directory {directory} is not empty"))),
            Err(error) => Err(invalid(format!("jail directory {directory}: {error}"))),
        }
    }

    /// Gives up files, user, groups and capabilities, for good.
    pub(crate) fn enter(&self) -> Result<(), JailError> {
        privileges::change_root(&self.directory)?;
        privileges::set_limits()?;
        privileges::become_nobody(self.uid, self.gid)
    }

    /// Gives up all system calls but those of the event loop: the last step.
    pub(crate) fn lock() -> Result<(), JailError> {
        seccomp::install()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_nobody_in_particular_are_refused() {
        for id in [0, u32::MAX] {
            assert!(Jail::new("/proc/self/fdinfo", id, 1).is_err());
            assert!(Jail::new("/proc/self/fdinfo", 1, id).is_err());
        }
    }

    #[test]
    fn the_directory_is_absolute_empty_and_there() {
        let empty = std::env::temp_dir().join(format!("lightvm-vmm-jail-{}", std::process::id()));
        fs::create_dir(&empty).unwrap();
        let accepted = Jail::new(empty.to_str().unwrap(), 1, 1);
        fs::remove_dir(&empty).unwrap();
        assert!(accepted.is_ok());
        for directory in ["", "tmp", "/", "/nonexistent", "/etc/passwd"] {
            assert!(Jail::new(directory, 1, 1).is_err(), "{directory}");
        }
    }
}
