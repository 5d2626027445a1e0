// SPDX-License-Identifier: Apache-2.0
//! From a stream of bytes to the CRI's log format.
//!
//! A log line is `TIME STREAM TAG TEXT\n`. TAG is F when the process ended the line itself, P when
//! it was cut: lines longer than 16 KiB come in several P lines and end with an F, and what a
//! process leaves without a newline stays a P. A reader that joins the texts, adding a newline
//! after each F, gets the stream back byte by byte.

use crate::clock::WallTime;

/// Longest text of one log line, in bytes; kubelet and containerd use the same.
const MAX_TEXT: usize = 16 * 1024;

/// Bytes of log that are made of a stream before they are written: empty lines become forty times as
/// long, and a log that can't be written is kept in memory.
const ENOUGH: usize = 64 * 1024;

/// Cuts one stream of one process into log lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// "stdout" or "stderr".
    stream: &'static str,
    /// The text of the line that has not ended yet, always shorter than `MAX_TEXT`.
    partial: Vec<u8>,
    /// Whether text without a newline is written at once: someone may look at a prompt.
    immediate: bool,
}

impl Lines {
    /// The start of a stream; `immediate` for a terminal.
    pub(crate) fn new(stream: &'static str, immediate: bool) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            immediate,
        }
    }

    /// Appends the lines that `bytes` complete to `log`, until that holds `ENOUGH`; the number of
    /// bytes that were used.
    pub(crate) fn push(&mut self, all: &[u8], now: WallTime, log: &mut Vec<u8>) -> usize {
        let head = format!("{now} {} ", self.stream);
        let mut bytes = all;
        while !bytes.is_empty() && log.len() < ENOUGH {
            let room = MAX_TEXT - self.partial.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|&byte| byte == b'\n') {
                self.flush(&head, "F ", &window[..end], log);
                bytes = &bytes[end + 1..];
            } else if window.len() == room {
                self.flush(&head, "P ", window, log);
                bytes = &bytes[room..];
            } else {
                self.partial.extend_from_slice(window);
                bytes = &[];
            }
        }
        if self.immediate && !self.partial.is_empty() {
            self.flush(&head, "P ", &[], log);
        }
        all.len() - bytes.len()
    }

    /// The stream is over: appends what is left of it to `log`.
    pub(crate) fn finish(&mut self, now: WallTime, log: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.flush(&format!("{now} {} ", self.stream), "P ", &[], log);
        }
    }

    fn flush(&mut self, head: &str, tag: &str, rest: &[u8], log: &mut Vec<u8>) {
        for part in [head.as_bytes(), tag.as_bytes(), &self.partial, rest, b"\n"] {
            log.extend_from_slice(part);
        }
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "1970-01-01T00:00:00.000000000Z";

    /// The log of a stream that comes in these pieces, as (tag, text).
    fn log(lines: &mut Lines, pieces: &[&[u8]]) -> Vec<(char, Vec<u8>)> {
        let mut log = Vec::new();
        for piece in pieces {
            let mut used = 0;
            while used < piece.len() {
                let mut part = Vec::new();
                used += lines.push(&piece[used..], WallTime(0), &mut part);
                assert!(part.len() < ENOUGH + MAX_TEXT + 100);
                log.extend(part);
            }
        }
        lines.finish(WallTime(0), &mut log);
        let mut parsed = Vec::new();
        for line in log.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_prefix(TIME.as_bytes()).unwrap();
            let line = line
                .strip_prefix(b" stdout ")
                .unwrap()
                .strip_suffix(b"\n")
                .unwrap();
            assert_eq!(line[1], b' ');
            parsed.push((char::from(line[0]), line[2..].to_vec()));
        }
        parsed
    }

    fn full(text: &[u8]) -> (char, Vec<u8>) {
        ('F', text.to_vec())
    }

    fn part(text: &[u8]) -> (char, Vec<u8>) {
        ('P', text.to_vec())
    }

    fn stdout() -> Lines {
        Lines::new("stdout", false)
    }

    #[test]
    fn a_line_is_a_line_wherever_it_was_cut() {
        assert_eq!(
            log(&mut stdout(), &[b"one\ntwo\n"]),
            [full(b"one"), full(b"two")]
        );
        assert_eq!(
            log(&mut stdout(), &[b"on", b"e", b"\ntw", b"o\n"]),
            [full(b"one"), full(b"two")]
        );
        assert_eq!(log(&mut stdout(), &[b"\n\r\n"]), [full(b""), full(b"\r")]);
    }

    #[test]
    fn what_ends_without_a_newline_is_partial() {
        assert_eq!(
            log(&mut stdout(), &[b"one\ntw", b"o"]),
            [full(b"one"), part(b"two")]
        );
        assert_eq!(log(&mut stdout(), &[]), []);
    }

    #[test]
    fn a_terminal_is_written_as_it_comes() {
        let mut terminal = Lines::new("stdout", true);
        assert_eq!(
            log(&mut terminal, &[b"# ", b"ls\r\n"]),
            [part(b"# "), full(b"ls\r")]
        );
    }

    #[test]
    fn long_lines_are_cut_at_16_kib() {
        let long = vec![b'x'; MAX_TEXT];
        let mut with_end = long.clone();
        with_end.push(b'\n');
        assert_eq!(log(&mut stdout(), &[&with_end]), [part(&long), full(b"")]);
        let mut longer = vec![b'x'; 2 * MAX_TEXT + 3];
        longer.push(b'\n');
        assert_eq!(
            log(&mut stdout(), &[&longer]),
            [part(&long), part(&long), full(b"xxx")]
        );
        let short = &longer[MAX_TEXT + 4..];
        assert_eq!(log(&mut stdout(), &[short]), [full(&long[..MAX_TEXT - 1])]);
    }

    #[test]
    fn a_stream_becomes_log_bit_by_bit() {
        let mut log = Vec::new();
        let used = stdout().push(&[b'\n'; MAX_TEXT], WallTime(0), &mut log);
        assert!((ENOUGH..ENOUGH + 100).contains(&log.len()));
        assert_eq!(used, log.split(|&byte| byte == b'\n').count() - 1);
    }

    #[test]
    fn joining_the_texts_gives_the_stream_back() {
        // Newlines at varying distances, pieces of varying sizes, bytes that are no UTF-8.
        let stream: Vec<u8> = (0_u32..70_000)
            .map(|n| {
                if n % 997 * (n % 991) % 97 == 3 && n % 40_000 < 20_000 {
                    b'\n'
                } else {
                    n as u8 | 0x80
                }
            })
            .collect();
        for size in [1, 7, 4096, 16_384, 65_536] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let mut joined = Vec::new();
            for (tag, text) in log(&mut stdout(), &pieces) {
                joined.extend(text);
                joined.extend((tag == 'F').then_some(b'\n'));
            }
            assert!(joined == stream, "pieces of {size}");
        }
    }
}
