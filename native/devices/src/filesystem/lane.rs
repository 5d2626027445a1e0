// SPDX-License-Identifier: Apache-2.0
//! One connection to the file server, and the request that is on its way there and back.
//!
//! ```text
//!           begin              sent            header is there
//!   Idle ─────────► Sending ─────────► Waiting ───────────────► Receiving
//!    ▲                 │ no answer follows                          │ received
//!    └─────────────────┴────────────────────────────────────────────┘
//! ```

use std::io;

use super::wire::{ANSWER_HEADER, REQUEST_HEADER, Request, answer_length};
use crate::{Chain, DeviceError};

/// Bytes that are copied at once between guest and server.
const PIECE: usize = 128 << 10;

/// A connected byte stream to a thread of the file server. No call blocks.
pub trait Channel {
    /// Sends what the connection takes now; 0 when it takes nothing.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Receives what is there: `None` when nothing is, `Some(0)` at the end.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>>;
    /// Bytes that come, and the end, are always waited for; room to send only when `sending`.
    fn wait_for_room(&mut self, sending: bool) -> io::Result<()>;
}

/// Why a lane is of no use any more.
#[derive(Debug)]
pub(super) enum LaneError {
    /// The guest's doing.
    Guest(DeviceError),
    /// The server's: it has ended, or it breaks the protocol.
    Server(String),
}

impl From<DeviceError> for LaneError {
    fn from(error: DeviceError) -> Self {
        Self::Guest(error)
    }
}

/// A request that goes over a lane.
pub(super) struct Job {
    pub(super) queue: usize,
    pub(super) chain: Chain,
    pub(super) request: Request,
}

enum State {
    Idle,
    Sending {
        sent: u32,
    },
    Waiting {
        header: [u8; ANSWER_HEADER],
        received: usize,
    },
    Receiving {
        length: u32,
        received: u32,
    },
}

/// What a lane has come to.
pub(super) enum Step {
    /// Nothing can be done before the connection is ready.
    Blocked,
    /// A chain goes back with so many bytes; the lane is idle.
    Done(usize, u16, u32),
    /// The guest had reset the device before the answer came; the lane is idle.
    Dropped,
}

/// A lane.
pub(super) struct Lane {
    channel: Box<dyn Channel>,
    state: State,
    job: Option<Job>,
    /// The driver that made the request is gone, and its buffers with it.
    abandoned: bool,
    /// The connection is not ready for what comes next.
    blocked: bool,
    waits_for_room: bool,
}

impl Lane {
    pub(super) fn new(channel: Box<dyn Channel>) -> Self {
        Self {
            channel,
            state: State::Idle,
            job: None,
            abandoned: false,
            blocked: true,
            waits_for_room: false,
        }
    }

    /// Whether a request can begin.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether [`Self::advance`] may get somewhere.
    pub(super) fn is_ready(&self) -> bool {
        !self.blocked
    }

    /// The connection has become ready for something. On an idle lane that is the end.
    pub(super) fn wake(&mut self) -> Result<(), LaneError> {
        self.blocked = false;
        if self.is_idle() {
            self.listen(&mut [0])?;
        }
        Ok(())
    }

    /// Takes a request on an idle lane.
    pub(super) fn begin(&mut self, job: Job) {
        debug_assert!(self.is_idle());
        self.job = Some(job);
        self.state = State::Sending { sent: 0 };
        self.abandoned = false;
        self.blocked = false;
    }

    /// The chains belong to nobody from now on; the server's answer will still come.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Goes on as far as the connection allows. `buffer` is scratch space.
    pub(super) fn advance(&mut self, buffer: &mut Vec<u8>) -> Result<Step, LaneError> {
        buffer.resize(PIECE, 0);
        let step = self.run(buffer)?;
        self.blocked = true;
        let sending = matches!(self.state, State::Sending { .. });
        if sending != self.waits_for_room {
            self.channel.wait_for_room(sending).map_err(failed)?;
            self.waits_for_room = sending;
        }
        Ok(step)
    }

    fn run(&mut self, buffer: &mut [u8]) -> Result<Step, LaneError> {
        loop {
            let Some(job) = &self.job else {
                return self.listen(buffer);
            };
            let channel = self.channel.as_mut();
            match &mut self.state {
                State::Idle => return self.listen(buffer),
                State::Sending { sent } => {
                    let Some(count) = send(channel, job, *sent, buffer)? else {
                        return Ok(Step::Blocked);
                    };
                    *sent += count;
                    if *sent < job.request.length {
                        continue;
                    }
                    if !job.request.answered {
                        return Ok(self.finish(0));
                    }
                    self.state = State::Waiting {
                        header: [0; ANSWER_HEADER],
                        received: 0,
                    };
                }
                State::Waiting { header, received } => {
                    let Some(count) = receive(channel, &mut header[*received..])? else {
                        return Ok(Step::Blocked);
                    };
                    *received += count;
                    if *received == ANSWER_HEADER {
                        let header = *header;
                        let length = answer_length(&header, job.request.unique)
                            .ok_or_else(|| broken("its answer is to no question"))?;
                        let received = ANSWER_HEADER as u32;
                        self.state = State::Receiving { length, received };
                        self.write(0, &header)?;
                    }
                }
                State::Receiving { length, received } => {
                    let (length, offset) = (*length, *received);
                    if offset == length {
                        return Ok(self.finish(length));
                    }
                    let room = buffer.len().min((length - offset) as usize);
                    let Some(count) = receive(channel, &mut buffer[..room])? else {
                        return Ok(Step::Blocked);
                    };
                    *received += count as u32;
                    self.write(offset, &buffer[..count])?;
                }
            }
        }
    }

    /// On an idle lane only the end can come.
    fn listen(&mut self, buffer: &mut [u8]) -> Result<Step, LaneError> {
        match receive(self.channel.as_mut(), buffer)? {
            None => Ok(Step::Blocked),
            Some(_) => Err(broken("it answers without a question")),
        }
    }

    fn write(&self, offset: u32, bytes: &[u8]) -> Result<(), LaneError> {
        match &self.job {
            Some(job) if !self.abandoned => Ok(job.chain.write(offset, bytes)?),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, written: u32) -> Step {
        self.state = State::Idle;
        match self.job.take() {
            Some(job) if !self.abandoned => Step::Done(job.queue, job.chain.head(), written),
            _ => Step::Dropped,
        }
    }
}

/// Sends from the header as it was checked, then from the guest's buffers.
fn send(
    channel: &mut dyn Channel,
    job: &Job,
    sent: u32,
    buffer: &mut [u8],
) -> Result<Option<u32>, LaneError> {
    let piece = match job.request.header.get(sent as usize..) {
        Some(header) if !header.is_empty() => header,
        _ => {
            let length = buffer.len().min((job.request.length - sent) as usize);
            let piece = &mut buffer[..length];
            job.chain.read(sent, piece)?;
            &*piece
        }
    };
    debug_assert!(job.request.length as usize >= REQUEST_HEADER);
    match channel.send(piece).map_err(failed)? {
        0 => Ok(None),
        count => Ok(Some(count as u32)),
    }
}

fn receive(channel: &mut dyn Channel, into: &mut [u8]) -> Result<Option<usize>, LaneError> {
    match channel.receive(into).map_err(failed)? {
        Some(0) => Err(broken("it has ended")),
        received => Ok(received),
    }
}

fn failed(error: io::Error) -> LaneError {
    LaneError::Server(error.to_string())
}

fn broken(how: &str) -> LaneError {
    LaneError::Server(how.into())
}
