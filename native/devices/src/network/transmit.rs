// SPDX-License-Identifier: Apache-2.0
//! Frames from the guest.

use std::io::Write;

use super::device::{TX, Tap, TapError};
use super::wire::{FrameHeader, HEADER_LENGTH, MAX_FRAME};
use crate::{Chain, DeviceError, Progress, Queues};

/// Frames of one turn.
const BUDGET: usize = 64;

/// The way from the queue to the tap.
pub(super) struct Transmit {
    /// One frame with its header, on its way to the tap.
    frame: Vec<u8>,
    /// The tap did not take it yet.
    waiting: bool,
}

impl Transmit {
    pub(super) fn new() -> Self {
        Self {
            frame: Vec::new(),
            waiting: false,
        }
    }

    /// Whether the tap must take a frame before the guest is heard again.
    pub(super) fn waits(&self) -> bool {
        self.waiting
    }

    pub(super) fn reset(&mut self) {
        self.waiting = false;
    }

    /// Sends what the guest has made available, as far as the tap takes it.
    pub(super) fn send(
        &mut self,
        queues: &mut Queues,
        tap: &mut Tap,
        offloads: bool,
    ) -> Result<Progress, DeviceError> {
        if self.waiting {
            self.write(tap);
        }
        for _ in 0..BUDGET {
            if self.waiting {
                return Ok(Progress::Idle);
            }
            let Some(chain) = queues.pop(TX)? else {
                if queues.arm(TX)? {
                    continue;
                }
                return Ok(Progress::Idle);
            };
            if self.take(&chain, offloads)? {
                self.write(tap);
            }
            queues.push(TX, chain.head(), 0)?;
        }
        Ok(Progress::More)
    }

    /// Copies a frame out of its chain; false when it is not fit to be sent.
    fn take(&mut self, chain: &Chain, offloads: bool) -> Result<bool, DeviceError> {
        let length = chain.readable_length() as usize;
        let frame_length = length
            .checked_sub(HEADER_LENGTH)
            .ok_or(DeviceError::Request("a frame without a header"))?;
        if length > MAX_FRAME {
            return Ok(false);
        }
        self.frame.resize(length, 0);
        chain.read(0, &mut self.frame)?;
        let Some(place) = self.frame.first_chunk_mut::<HEADER_LENGTH>() else {
            return Ok(false);
        };
        let header = FrameHeader::parse(place, frame_length, offloads);
        if let Some(header) = header {
            *place = header.to_tap();
        }
        Ok(header.is_some())
    }

    /// Gives the frame to the tap, which takes all of it, refuses it, or wants to be asked again.
    fn write(&mut self, tap: &mut Tap) {
        let written = tap.attempt(|mut file| file.write(&self.frame));
        self.waiting = matches!(written, Err(TapError::Later));
    }
}
