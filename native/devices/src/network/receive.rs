// SPDX-License-Identifier: Apache-2.0
//! Frames to the guest.

use std::collections::VecDeque;
use std::io::Read;

use super::device::{RX, Tap};
use super::wire::{BUFFER_COUNT_OFFSET, HEADER_LENGTH, MAX_FRAME};
use crate::{Chain, DeviceError, Progress, Queues};

/// Frames of one turn.
const BUDGET: usize = 64;

/// The way from the tap to the queue.
pub(super) struct Receive {
    /// One frame with its header.
    frame: Vec<u8>,
    /// Bytes of the frame that the guest has no room for yet; 0 when there is none.
    length: usize,
    /// Chains that were taken from the queue and hold nothing yet.
    buffers: VecDeque<Chain>,
    /// Bytes that they have room for.
    room: usize,
}

impl Receive {
    pub(super) fn new() -> Self {
        Self {
            frame: vec![0; MAX_FRAME],
            length: 0,
            buffers: VecDeque::new(),
            room: 0,
        }
    }

    /// Whether the guest must give buffers before the tap is asked again.
    pub(super) fn waits(&self) -> bool {
        self.length > 0
    }

    pub(super) fn reset(&mut self) {
        self.length = 0;
        self.buffers.clear();
        self.room = 0;
    }

    /// Takes frames from the tap as long as there are some and the guest has room for them.
    pub(super) fn deliver(
        &mut self,
        queues: &mut Queues,
        tap: &mut Tap,
        merge: bool,
        offloads: bool,
    ) -> Result<Progress, DeviceError> {
        for _ in 0..BUDGET {
            if self.length == 0 && !self.read(tap, offloads) {
                return Ok(Progress::Idle);
            }
            if !self.gather(queues, merge)? {
                return Ok(Progress::Idle);
            }
            self.fill(queues)?;
        }
        Ok(Progress::More)
    }

    /// Reads one frame; false when there is none.
    fn read(&mut self, tap: &mut Tap, offloads: bool) -> bool {
        // A frame that does not fit is cut by the kernel; no frame is longer than the buffer.
        let read = tap.attempt(|mut file| file.read(&mut self.frame));
        self.length = read.unwrap_or(0);
        if self.length <= HEADER_LENGTH {
            self.length = 0;
            return false;
        }
        if !offloads {
            // Without GUEST_CSUM the driver expects to be told nothing.
            self.frame[..HEADER_LENGTH].fill(0);
        }
        true
    }

    /// Takes buffers until the frame fits; false when the guest has too few. A frame that can never
    /// fit is dropped.
    fn gather(&mut self, queues: &mut Queues, merge: bool) -> Result<bool, DeviceError> {
        let most = if merge {
            usize::from(queues.size(RX))
        } else {
            1
        };
        while self.room < self.length {
            if self.buffers.len() >= most {
                self.length = 0;
                return Ok(true);
            }
            let Some(chain) = queues.pop(RX)? else {
                if queues.arm(RX)? {
                    continue;
                }
                return Ok(false);
            };
            if chain.readable_length() != 0 || (chain.writable_length() as usize) < HEADER_LENGTH {
                return Err(DeviceError::Request("a receive buffer without room"));
            }
            self.room += chain.writable_length() as usize;
            self.buffers.push_back(chain);
        }
        Ok(true)
    }

    /// Copies the frame into the first buffers and gives them back together: a driver that sees one
    /// expects to see all.
    fn fill(&mut self, queues: &mut Queues) -> Result<(), DeviceError> {
        let mut done = 0;
        let mut filled = Vec::new();
        while done < self.length {
            let Some(chain) = self.buffers.pop_front() else {
                break;
            };
            let room = chain.writable_length() as usize;
            self.room -= room;
            let end = self.length.min(done + room);
            chain.write(0, &self.frame[done..end])?;
            filled.push((chain, (end - done) as u32));
            done = end;
        }
        self.length = 0;
        if let Some((first, _)) = filled.first() {
            // At most one for each descriptor of the queue.
            first.write(BUFFER_COUNT_OFFSET, &(filled.len() as u16).to_le_bytes())?;
        }
        queues.push_together(RX, filled.iter().map(|(chain, used)| (chain.head(), *used)))
    }
}
