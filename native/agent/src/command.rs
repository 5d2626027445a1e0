// SPDX-License-Identifier: Apache-2.0
//! Which file a command means.

use std::path::{Path, PathBuf};

use lightvm_protocol::agent::failure::Code;

use crate::error::CallError;

/// Where commands are looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is known about a file that might be the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// There is no such file.
    Missing,
    /// It can't be executed: a directory, or no execute permission.
    NotExecutable,
    /// It can be executed.
    Executable,
}

/// The files that `command` may mean, in the order in which they are tried.
pub fn candidates(command: &str, environment: &[String], working_directory: &Path) -> Vec<PathBuf> {
    if command.contains('/') {
        return vec![working_directory.join(command)];
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    // An empty element of PATH means the working directory.
    path.unwrap_or(DEFAULT_PATH)
        .split(':')
        .map(|directory| working_directory.join(directory).join(command))
        .collect()
}

/// Finds the command among its candidates.
pub fn find(
    command: &str,
    environment: &[String],
    working_directory: &Path,
    look: impl Fn(&Path) -> Candidate,
) -> Result<PathBuf, CallError> {
    if command.is_empty() {
        return Err(CallError::invalid("the command is empty"));
    }
    let mut seen_unusable = false;
    for candidate in candidates(command, environment, working_directory) {
        match look(&candidate) {
            Candidate::Executable => return Ok(candidate),
            Candidate::NotExecutable => seen_unusable = true,
            Candidate::Missing => {}
        }
    }
    Err(if seen_unusable {
        not_executable(command)
    } else {
        not_found(command)
    })
}

/// The failure for a command that the container does not have.
pub fn not_found(command: &str) -> CallError {
    let message = format!("exec: \"{command}\": executable file not found");
    CallError::new(Code::CommandNotFound, message)
}

/// The failure for a command that may not be executed.
pub fn not_executable(command: &str) -> CallError {
    let message = format!("exec: \"{command}\": permission denied");
    CallError::new(Code::CommandNotExecutable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &Path) -> Candidate {
        match path.to_str().unwrap() {
            "/bin/sh" | "/srv/./run" | "/srv/tool" => Candidate::Executable,
            "/etc/sh" | "/etc/hosts" => Candidate::NotExecutable,
            _ => Candidate::Missing,
        }
    }

    fn search(command: &str, path: &str) -> Result<PathBuf, CallError> {
        find(command, &[format!("PATH={path}")], Path::new("/srv"), look)
    }

    #[test]
    fn looks_through_path_in_order() {
        assert_eq!(
            search("sh", "/etc:/usr/bin:/bin").unwrap(),
            Path::new("/bin/sh")
        );
        assert_eq!(
            find("sh", &[], Path::new("/"), look).unwrap(),
            Path::new("/bin/sh")
        );
        assert_eq!(search("tool", "/bin:").unwrap(), Path::new("/srv/tool"));
    }

    #[test]
    fn a_slash_means_a_path() {
        assert_eq!(search("/bin/sh", "").unwrap(), Path::new("/bin/sh"));
        assert_eq!(search("./run", "/bin").unwrap(), Path::new("/srv/run"));
        assert_eq!(
            search("bin/sh", "/").unwrap_err().code,
            Code::CommandNotFound
        );
    }

    #[test]
    fn tells_missing_from_forbidden() {
        assert_eq!(
            search("sh", "/etc").unwrap_err().code,
            Code::CommandNotExecutable
        );
        assert_eq!(
            search("/etc/hosts", "").unwrap_err().code,
            Code::CommandNotExecutable
        );
        assert_eq!(
            search("absent", "/bin").unwrap_err().code,
            Code::CommandNotFound
        );
        assert_eq!(search("", "/bin").unwrap_err().code, Code::Invalid);
    }
}
