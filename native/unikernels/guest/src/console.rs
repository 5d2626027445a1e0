// SPDX-License-Identifier: Apache-2.0
//! Xen's console ring (struct xencons_interface, xen/include/public/io/console.h), output only.

use core::fmt;

use unikernel_platform::{EventChannels, HvmParam, Page, hvm_param, notify};

const OUT: usize = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONSUMED: usize = 3080;
const OUT_PRODUCED: usize = 3084;
const PAGE_SIZE: u64 = 4096;

/// The console.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    ring: Page,
    port: u32,
    /// To wait for room; without them what does not fit is lost.
    channels: Option<EventChannels>,
}

impl Console {
    /// The console that Xen names, if there is one.
    pub fn find(channels: Option<EventChannels>) -> Option<Self> {
        let frame = hvm_param(HvmParam::ConsoleFrame);
        let port = u32::try_from(hvm_param(HvmParam::ConsolePort)).ok()?;
        let ring = Page::at(frame.checked_mul(PAGE_SIZE)?)?;
        Some(Self {
            ring,
            port,
            channels,
        })
    }

    /// Prints bytes; returns when they are all in the ring.
    pub fn print(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.put(bytes)..];
            notify(self.port);
            if bytes.is_empty() || !self.wait() {
                return;
            }
        }
    }

    /// Returns when all that was printed has been read.
    pub fn flush(&self) {
        while self.waiting() > 0 && self.wait() {}
    }

    /// Sleeps until the other side has read something; false when that can't be waited for.
    fn wait(&self) -> bool {
        let Some(channels) = &self.channels else {
            return false;
        };
        if !channels.take(self.port) {
            channels.wait(&[self.port], None);
        }
        true
    }

    /// Bytes that have been printed and not been read.
    fn waiting(&self) -> u32 {
        let produced: u32 = self.ring.load(OUT_PRODUCED);
        produced.wrapping_sub(self.ring.load(OUT_CONSUMED))
    }

    /// Puts into the ring what there is room for, and tells how much.
    fn put(&self, bytes: &[u8]) -> usize {
        let room = OUT_SIZE.saturating_sub(self.waiting()) as usize;
        let fitting = &bytes[..bytes.len().min(room)];
        let mut end: u32 = self.ring.load(OUT_PRODUCED);
        for byte in fitting {
            self.ring.store(OUT + (end % OUT_SIZE) as usize, *byte);
            end = end.wrapping_add(1);
        }
        self.ring.store(OUT_PRODUCED, end);
        fitting.len()
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.print(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_pages::reset;

    #[test]
    fn the_ring_wraps_and_takes_no_more_than_it_holds() {
        let [ring, ..] = reset();
        let console = Console {
            ring,
            port: 0,
            channels: None,
        };
        // Just before both the ring's end and the index's.
        for page_offset in [OUT_PRODUCED, OUT_CONSUMED] {
            ring.store(page_offset, u32::MAX);
        }
        assert_eq!(console.put(b"ab"), 2);
        assert_eq!(ring.load::<u8>(OUT + 2047), b'a');
        assert_eq!(ring.load::<u8>(OUT), b'b');
        assert_eq!(ring.load::<u32>(OUT_PRODUCED), 1);
        assert_eq!(console.put(&[b'x'; 3000]), 2046);
        assert_eq!(console.put(b"y"), 0);
    }
}
