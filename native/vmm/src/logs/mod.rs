// SPDX-License-Identifier: Apache-2.0
//! The log files of containers.
//!
//! What a file does not take is not lost and not taken from the guest either: beside one batch of
//! lines that waits here, it stays where the guest put it, and the container's writes block. Each
//! container's log waits for itself.

mod file;
mod lines;

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Instant;

use self::file::{LogFile, Written};
pub(crate) use self::lines::Lines;
use crate::clock::WallTime;
use crate::report::Report;

/// Where the output of one container goes.
#[derive(Debug)]
pub(crate) struct ContainerLog {
    /// `None`: the output is dropped.
    pub(crate) file: Option<File>,
    /// One stream, bytes as they come.
    pub(crate) terminal: bool,
}

#[derive(Debug)]
struct Log {
    file: Option<LogFile>,
    terminal: bool,
}

/// The logs of all containers of a pod, by container id.
#[derive(Debug, Default)]
pub(crate) struct ContainerLogs {
    logs: BTreeMap<String, Log>,
}

impl ContainerLogs {
    /// Sends the output of a container to another place from now on, with what the place before has
    /// not taken.
    pub(crate) fn set(&mut self, id: String, to: ContainerLog, report: &mut Report) {
        let log = self.logs.entry(id.clone()).or_insert(Log {
            file: None,
            terminal: to.terminal,
        });
        log.terminal = to.terminal;
        log.file = match (log.file.take(), to.file) {
            (Some(mut log), Some(file)) => {
                log.replace(file);
                Some(log)
            }
            (_, file) => file.map(LogFile::new),
        };
        if let Some(file) = &mut log.file {
            flush(file, &id, report);
        }
    }

    /// Forgets a container.
    pub(crate) fn remove(&mut self, container_id: &str, report: &mut Report) {
        if let Some(Log {
            file: Some(file), ..
        }) = self.logs.remove(container_id)
        {
            give_up(&file, container_id, report);
        }
    }

    /// Whether the container has a terminal.
    pub(crate) fn is_terminal(&self, container_id: &str) -> bool {
        self.logs.get(container_id).is_some_and(|log| log.terminal)
    }

    /// Appends to a container's log what `bytes` complete, and returns how many of them are used: not
    /// all when the log can't be written. Output without a log is dropped.
    pub(crate) fn write(
        &mut self,
        container_id: &str,
        lines: &mut Lines,
        bytes: &[u8],
        report: &mut Report,
    ) -> usize {
        let log = self.logs.get_mut(container_id);
        let Some(Log {
            file: Some(file), ..
        }) = log
        else {
            return bytes.len();
        };
        let mut used = 0;
        while used < bytes.len() && file.retry_at().is_none() {
            used += lines.push(&bytes[used..], WallTime::now(), file.lines());
            flush(file, container_id, report);
        }
        used
    }

    /// Appends what a stream left without a newline.
    pub(crate) fn finish(&mut self, container_id: &str, lines: &mut Lines, report: &mut Report) {
        let log = self.logs.get_mut(container_id);
        if let Some(Log {
            file: Some(file), ..
        }) = log
        {
            lines.finish(WallTime::now(), file.lines());
            if file.retry_at().is_none() {
                flush(file, container_id, report);
            }
        }
    }

    /// When [`Self::retry`] should be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let files = self.logs.values().filter_map(|log| log.file.as_ref());
        files.filter_map(LogFile::retry_at).min()
    }

    /// Tries again to write what could not be written, where it is time for that. True when a log
    /// takes more than before.
    pub(crate) fn retry(&mut self, now: Instant, report: &mut Report) -> bool {
        self.retry_if(report, |at| at <= now)
    }

    /// Tries again at once: there will be no other time.
    pub(crate) fn retry_all(&mut self, report: &mut Report) {
        self.retry_if(report, |_| true);
    }

    /// Nothing more comes of any container: says which logs lack something.
    pub(crate) fn give_up(&mut self, report: &mut Report) {
        for (id, log) in &self.logs {
            if let Some(file) = &log.file {
                give_up(file, id, report);
            }
        }
        self.logs.clear();
    }

    fn retry_if(&mut self, report: &mut Report, wanted: impl Fn(Instant) -> bool) -> bool {
        let mut takes_more = false;
        for (id, log) in &mut self.logs {
            if let Some(file) = &mut log.file {
                if file.retry_at().is_some_and(&wanted) {
                    flush(file, id, report);
                    takes_more |= file.retry_at().is_none();
                }
            }
        }
        takes_more
    }
}

fn flush(file: &mut LogFile, container_id: &str, report: &mut Report) {
    match file.flush() {
        Written::Stuck(Some(error)) => report.line(format_args!(
            "cannot write the log of container {container_id}, whose output waits: {error}"
        )),
        Written::Again => report.line(format_args!(
            "the log of container {container_id} is written again"
        )),
        Written::All | Written::Stuck(None) => {}
    }
}

fn give_up(file: &LogFile, container_id: &str, report: &mut Report) {
    if file.retry_at().is_some() {
        report.line(format_args!(
            "the log of container {container_id} lacks its end, which could not be written in time"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_files::TestFile;

    fn to(file: Option<File>) -> ContainerLog {
        ContainerLog {
            file,
            terminal: false,
        }
    }

    /// Without time and stream.
    fn texts(file: &TestFile) -> Vec<String> {
        let text = file.text();
        text.lines().map(|line| line[31..].to_owned()).collect()
    }

    #[test]
    fn a_line_that_is_open_during_a_rotation_goes_to_the_new_file() {
        let (old, new) = (TestFile::new("log-old"), TestFile::new("log-new"));
        let (mut logs, mut report) = (ContainerLogs::default(), Report::default());
        let mut lines = Lines::new("stderr", false);
        logs.set("c".into(), to(Some(old.append())), &mut report);
        assert_eq!(logs.write("c", &mut lines, b"one\ntw", &mut report), 6);
        logs.set("c".into(), to(Some(new.append())), &mut report);
        assert_eq!(logs.write("c", &mut lines, b"o\nend", &mut report), 5);
        logs.finish("c", &mut lines, &mut report);
        assert_eq!(texts(&old), ["stderr F one"]);
        assert_eq!(texts(&new), ["stderr F two", "stderr P end"]);
    }

    #[test]
    fn a_full_disk_makes_its_container_wait_and_no_other() {
        let [file, other] = ["log-rotated", "log-other"].map(TestFile::new);
        let full = File::options().append(true).open("/dev/full").unwrap();
        let (mut logs, mut report) = (ContainerLogs::default(), Report::default());
        let mut lines = Lines::new("stdout", false);
        logs.set("c".into(), to(Some(full)), &mut report);
        logs.set("other".into(), to(Some(other.append())), &mut report);
        assert_eq!(logs.next_deadline(), None);
        // One batch waits here.
        assert_eq!(
            logs.write("c", &mut lines, b"one\ntwo\nth", &mut report),
            10
        );
        assert_eq!(logs.write("c", &mut lines, b"ree\n", &mut report), 0);
        let mut others = Lines::new("stdout", false);
        assert_eq!(logs.write("other", &mut others, b"1\n", &mut report), 2);
        assert_eq!(texts(&other), ["stdout F 1"]);

        let deadline = logs.next_deadline().unwrap();
        assert!(deadline > Instant::now());
        assert!(!logs.retry(Instant::now(), &mut report));
        assert_eq!(logs.next_deadline(), Some(deadline));
        assert!(!logs.retry(deadline, &mut report));
        assert!(logs.next_deadline() > Some(deadline));

        logs.set("c".into(), to(Some(file.append())), &mut report);
        assert_eq!(logs.next_deadline(), None);
        assert_eq!(logs.write("c", &mut lines, b"ree\n", &mut report), 4);
        let written = ["stdout F one", "stdout F two", "stdout F three"];
        assert_eq!(texts(&file), written);
    }

    #[test]
    fn output_without_a_log_is_dropped() {
        let (mut logs, mut report) = (ContainerLogs::default(), Report::default());
        let mut lines = Lines::new("stdout", false);
        assert_eq!(logs.write("c", &mut lines, b"one\n", &mut report), 4);
        let nowhere = ContainerLog {
            file: None,
            terminal: true,
        };
        logs.set("c".into(), nowhere, &mut report);
        assert_eq!(logs.write("c", &mut lines, b"two\n", &mut report), 4);
        assert!(logs.is_terminal("c"));
        logs.remove("c", &mut report);
        assert!(!logs.is_terminal("c"));
    }
}
