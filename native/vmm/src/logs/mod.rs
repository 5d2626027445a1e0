// SPDX-License-Identifier: Apache-2.0
//! The log files of containers.

mod lines;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

pub(crate) use lines::Lines;

use crate::clock::WallTime;

/// Where the output of one container goes.
#[derive(Debug)]
pub(crate) struct ContainerLog {
    /// `None`: the output is dropped.
    pub(crate) file: Option<File>,
    /// One stream, bytes as they come.
    pub(crate) terminal: bool,
}

/// The logs of all containers of a pod, by container id.
#[derive(Debug, Default)]
pub(crate) struct ContainerLogs {
    logs: BTreeMap<String, ContainerLog>,
}

impl ContainerLogs {
    /// Sends the output of a container to another place from now on.
    pub(crate) fn set(&mut self, container_id: String, log: ContainerLog) {
        self.logs.insert(container_id, log);
    }

    /// Forgets a container.
    pub(crate) fn remove(&mut self, container_id: &str) {
        self.logs.remove(container_id);
    }

    /// Whether the container has a terminal.
    pub(crate) fn is_terminal(&self, container_id: &str) -> bool {
        self.logs.get(container_id).is_some_and(|log| log.terminal)
    }

    /// Appends to a container's log what `bytes` complete; output without a log is dropped.
    ///
    /// # Errors
    ///
    /// The file can't be written; these bytes are lost then.
    pub(crate) fn write(
        &mut self,
        container_id: &str,
        lines: &mut Lines,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut text = Vec::with_capacity(bytes.len() + 64);
        lines.push(bytes, WallTime::now(), &mut text);
        self.append(container_id, &text)
    }

    /// Appends what a stream left without a newline.
    ///
    /// # Errors
    ///
    /// As for [`Self::write`].
    pub(crate) fn finish(&mut self, container_id: &str, lines: &mut Lines) -> io::Result<()> {
        let mut text = Vec::new();
        lines.finish(WallTime::now(), &mut text);
        self.append(container_id, &text)
    }

    fn append(&mut self, container_id: &str, text: &[u8]) -> io::Result<()> {
        match self.logs.get_mut(container_id) {
            Some(ContainerLog {
                file: Some(file), ..
            }) => file.write_all(text),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_files::TestFile;

    #[test]
    fn a_line_that_is_open_during_a_rotation_goes_to_the_new_file() {
        let (old, new) = (TestFile::new("log-old"), TestFile::new("log-new"));
        let mut logs = ContainerLogs::default();
        let mut lines = Lines::new("stderr", false);
        logs.set(
            "c".into(),
            ContainerLog {
                file: Some(old.append()),
                terminal: false,
            },
        );
        logs.write("c", &mut lines, b"one\ntw").unwrap();
        logs.set(
            "c".into(),
            ContainerLog {
                file: Some(new.append()),
                terminal: false,
            },
        );
        logs.write("c", &mut lines, b"o\nend").unwrap();
        logs.finish("c", &mut lines).unwrap();
        assert!(old.text().ends_with("Z stderr F one\n"));
        assert_eq!(old.text().lines().count(), 1);
        let new: Vec<_> = new
            .text()
            .lines()
            .map(|line| line[31..].to_owned())
            .collect();
        assert_eq!(new, ["stderr F two", "stderr P end"]);
    }

    #[test]
    fn output_without_a_log_is_dropped() {
        let mut logs = ContainerLogs::default();
        let mut lines = Lines::new("stdout", false);
        logs.write("c", &mut lines, b"one\n").unwrap();
        logs.set(
            "c".into(),
            ContainerLog {
                file: None,
                terminal: true,
            },
        );
        logs.write("c", &mut lines, b"two\n").unwrap();
        assert!(logs.is_terminal("c"));
        logs.remove("c");
        assert!(!logs.is_terminal("c"));
    }
}
