// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-fs.

use std::any::Any;
use std::fmt;

use lightvm_abi::TYPE_FS;

use super::lane::{Channel, Job, Lane, LaneError, Step};
use super::wire::{Request, TAG_LENGTH, config};
use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// FORGETs, which must not wait behind other requests.
const HIGH_PRIORITY: usize = 0;
/// Everything else.
const REQUESTS: usize = 1;
/// Linux takes as many pages for one request as this queue has entries, headers aside: 1 MiB needs
/// more than 256.
const QUEUE_SIZES: &[u16] = &[128, 512];
/// Requests that one turn begins.
const BUDGET: usize = 128;

/// Why a file system can't be shown to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesystemError {
    /// The tag is empty, holds a NUL byte, or is longer than virtio-fs's 36 bytes.
    Tag,
    /// There is no connection to a file server.
    NoChannel,
}

impl fmt::Display for FilesystemError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tag => "the file system's tag is empty, holds a NUL byte or exceeds 36 bytes",
            Self::NoChannel => "the file system has no connection to its server",
        })
    }
}

impl std::error::Error for FilesystemError {}

/// A file system that a file server serves.
pub struct Filesystem {
    tag: [u8; TAG_LENGTH],
    lanes: Vec<Lane>,
    /// Bytes on their way; kept, so that a request allocates nothing.
    buffer: Vec<u8>,
    /// The server is gone, which has been told: no request is answered any more.
    lost: bool,
}

impl Filesystem {
    /// A file system that the guest mounts by `tag`. Each channel carries one request at a time.
    pub fn new(tag: &str, channels: Vec<Box<dyn Channel>>) -> Result<Self, FilesystemError> {
        let mut padded = [0; TAG_LENGTH];
        let room = padded.get_mut(..tag.len()).ok_or(FilesystemError::Tag)?;
        room.copy_from_slice(tag.as_bytes());
        if tag.is_empty() || tag.contains('\0') {
            return Err(FilesystemError::Tag);
        }
        if channels.is_empty() {
            return Err(FilesystemError::NoChannel);
        }
        Ok(Self {
            tag: padded,
            lanes: channels.into_iter().map(Lane::new).collect(),
            buffer: Vec::new(),
            lost: false,
        })
    }

    /// The channel with this number has become ready for something. An error says how the server
    /// was lost; it is also found while the guest does not run the device.
    pub fn channel_ready(&mut self, number: usize) -> Result<(), String> {
        match self.lanes.get_mut(number).map(Lane::wake) {
            Some(Err(LaneError::Server(what))) => {
                self.lost = true;
                Err(what)
            }
            // Nothing of the guest's is touched here.
            _ => Ok(()),
        }
    }

    /// Lets every lane go on that can, then gives the idle ones work, in turns.
    fn carry(&mut self, queues: &mut Queues) -> Result<Progress, LaneError> {
        for _ in 0..BUDGET {
            for lane in self.lanes.iter_mut().filter(|lane| lane.is_ready()) {
                if let Step::Done(queue, head, written) = lane.advance(&mut self.buffer)? {
                    queues.push(queue, head, written)?;
                }
            }
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.is_idle()) else {
                return Ok(Progress::Idle);
            };
            match next_job(queues)? {
                Some(job) => lane.begin(job),
                None => return Ok(Progress::Idle),
            }
        }
        Ok(Progress::More)
    }
}

/// The next request; without one, both queues will ring.
fn next_job(queues: &mut Queues) -> Result<Option<Job>, DeviceError> {
    for queue in [HIGH_PRIORITY, REQUESTS] {
        loop {
            if let Some(chain) = queues.pop(queue)? {
                let request = Request::parse(&chain)?;
                return Ok(Some(Job {
                    queue,
                    chain,
                    request,
                }));
            }
            if !queues.arm(queue)? {
                break;
            }
        }
    }
    Ok(None)
}

impl Device for Filesystem {
    fn kind(&self) -> u32 {
        TYPE_FS
    }

    fn queue_sizes(&self) -> &'static [u16] {
        QUEUE_SIZES
    }

    fn config(&self) -> Vec<u8> {
        config(&self.tag)
    }

    fn reset(&mut self, _events: &mut Vec<DeviceEvent>) {
        for lane in &mut self.lanes {
            lane.abandon();
        }
    }

    fn process(
        &mut self,
        queues: &mut Queues,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        if self.lost {
            return Ok(Progress::Idle);
        }
        match self.carry(queues) {
            Ok(progress) => Ok(progress),
            Err(LaneError::Guest(error)) => Err(error),
            Err(LaneError::Server(what)) => {
                self.lost = true;
                events.push(DeviceEvent::FileServerLost(what));
                Ok(Progress::Idle)
            }
        }
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
