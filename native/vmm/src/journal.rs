// SPDX-License-Identifier: Apache-2.0
//! What outlives this process and lightvmd: records appended to a file, framed as messages.

use std::fs::File;
use std::io::{self, Write};

use lightvm_protocol::framing::encode_frame;
use lightvm_protocol::vmm::JournalRecord;
use lightvm_protocol::vmm::journal_record::Record;

use crate::clock::WallTime;

/// The journal of one guest; without a file, records are dropped.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<File>,
}

impl Journal {
    /// Appends to `file`, which has been opened for appending.
    pub(crate) fn new(file: Option<File>) -> Self {
        Self { file }
    }

    /// Appends one record with the time of now, in one write so that a crash tears the last record
    /// at most.
    ///
    /// # Errors
    ///
    /// The file can't be written, or not whole; what was written before stays readable.
    pub(crate) fn append(&mut self, record: Record) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let record = JournalRecord {
            realtime_nanoseconds: WallTime::now().0,
            record: Some(record),
        };
        let mut frame = Vec::new();
        encode_frame(&record, &mut frame).map_err(io::Error::other)?;
        file.write_all(&frame)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lightvm_protocol::agent::{Hello, ProcessExited};
    use lightvm_protocol::framing::FrameDecoder;

    use super::*;
    use crate::test_files::TestFile;

    #[test]
    fn appends_records_that_can_be_read_back() {
        let path = TestFile::new("journal");
        let hello = Hello {
            protocol_version: 1,
            ..Hello::default()
        };
        let exited = ProcessExited {
            container_id: "c".into(),
            exit_code: 7,
            ..Default::default()
        };
        for record in [Record::Ready(hello.clone()), Record::Exited(exited.clone())] {
            // A new descriptor each time: nothing may depend on the file's offset.
            Journal::new(Some(path.append())).append(record).unwrap();
        }
        let mut decoder = FrameDecoder::new();
        decoder.push(&fs::read(path.path()).unwrap());
        let mut next = || decoder.next_message::<JournalRecord>().unwrap();
        assert_eq!(next().unwrap().record, Some(Record::Ready(hello)));
        let second = next().unwrap();
        assert_eq!(second.record, Some(Record::Exited(exited)));
        assert!(second.realtime_nanoseconds > 0);
        assert_eq!(next(), None);
    }

    #[test]
    fn without_a_file_records_are_dropped() {
        Journal::default()
            .append(Record::Ready(Hello::default()))
            .unwrap();
    }

    #[test]
    fn says_when_the_file_cannot_be_written() {
        let path = TestFile::new("journal-read-only");
        let read_only = File::open(path.path()).unwrap();
        let mut journal = Journal::new(Some(read_only));
        assert!(journal.append(Record::Ready(Hello::default())).is_err());
    }
}
