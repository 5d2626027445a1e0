// SPDX-License-Identifier: Apache-2.0
//! Virtqueues of a running device.
//!
//! The rings are virtio-queue's; what is added here is that a malformed ring or chain is an error
//! instead of an end: a chain is walked once, completely, before anyone uses it.

use std::num::Wrapping;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

use crate::bus::QueueSetup;
use crate::device::{DeviceError, Progress};

/// Descriptors of one chain; Linux stays below the queue's size, we allow some more.
const MAX_SEGMENTS: usize = 1024;

/// The virtqueues of one running device.
pub struct Queues {
    memory: Arc<GuestMemoryMmap>,
    queues: Vec<Option<Running>>,
}

struct Running {
    queue: Queue,
    /// The used ring's index when the guest was last considered for a ring.
    considered: u16,
}

impl Queues {
    /// Makes the rings that the guest set up; each lies in RAM or this is an error.
    pub(crate) fn new(
        memory: &Arc<GuestMemoryMmap>,
        setups: &[Option<QueueSetup>],
        event_index: bool,
    ) -> Result<Self, DeviceError> {
        let mut queues = Vec::with_capacity(setups.len());
        for setup in setups {
            queues.push(match setup {
                Some(setup) => Some(Running {
                    queue: make_ring(memory, setup, event_index)?,
                    considered: 0,
                }),
                None => None,
            });
        }
        Ok(Self {
            memory: Arc::clone(memory),
            queues,
        })
    }

    /// Takes the next chain that the guest made available, if there is one.
    pub fn pop(&mut self, index: usize) -> Result<Option<Chain>, DeviceError> {
        let Some(running) = running(&mut self.queues, index) else {
            return Ok(None);
        };
        let mut heads = running
            .queue
            .iter(&*self.memory)
            .map_err(|_| DeviceError::Queue("the available ring's index is out of range"))?;
        let Some(descriptors) = heads.next() else {
            return Ok(None);
        };
        let head = descriptors.head_index();
        Chain::walk(&self.memory, head, descriptors).map(Some)
    }

    /// Gives a chain back with `written` bytes in its writable part.
    pub fn push(&mut self, index: usize, head: u16, written: u32) -> Result<(), DeviceError> {
        let Some(running) = running(&mut self.queues, index) else {
            return Err(DeviceError::Queue("the queue does not exist"));
        };
        running
            .queue
            .add_used(&*self.memory, head, written)
            .map_err(|_| DeviceError::Queue("a chain can't be given back"))
    }

    /// Gives several chains back so that the guest sees all of them or none.
    pub fn push_together(
        &mut self,
        index: usize,
        chains: impl ExactSizeIterator<Item = (u16, u32)>,
    ) -> Result<(), DeviceError> {
        let Some(running) = running(&mut self.queues, index) else {
            return Err(DeviceError::Queue("the queue does not exist"));
        };
        let last = chains.len().saturating_sub(1);
        for (number, (head, written)) in chains.enumerate() {
            if number < last {
                running.write_used(&self.memory, head, written)?;
            } else {
                // Moves the index that the guest reads, past all of them.
                running
                    .queue
                    .add_used(&*self.memory, head, written)
                    .map_err(|_| DeviceError::Queue("a chain can't be given back"))?;
            }
        }
        Ok(())
    }

    /// Entries of a queue; 0 when the guest does not use it.
    pub fn size(&mut self, index: usize) -> u16 {
        running(&mut self.queues, index).map_or(0, |running| running.queue.size())
    }

    /// Asks the guest to ring when it makes a chain available. True when it already has: look
    /// again, no ring will come for that one.
    pub fn arm(&mut self, index: usize) -> Result<bool, DeviceError> {
        let Some(running) = running(&mut self.queues, index) else {
            return Ok(false);
        };
        running
            .queue
            .enable_notification(&*self.memory)
            .map_err(|_| DeviceError::Queue("the rings are out of reach"))
    }

    /// Takes up to `budget` chains and gives each back with the number of bytes that `serve` says
    /// it has written, until the queue is empty and armed.
    pub fn serve(
        &mut self,
        index: usize,
        mut budget: usize,
        mut serve: impl FnMut(&Chain) -> Result<u32, DeviceError>,
    ) -> Result<Progress, DeviceError> {
        loop {
            while let Some(chain) = self.pop(index)? {
                let written = serve(&chain)?;
                self.push(index, chain.head(), written)?;
                budget = budget.saturating_sub(1);
                if budget == 0 {
                    return Ok(Progress::More);
                }
            }
            if !self.arm(index)? {
                return Ok(Progress::Idle);
            }
        }
    }

    /// Whether the guest wants to be rung for what was given back since the last call.
    pub(crate) fn take_ring(&mut self) -> Result<bool, DeviceError> {
        let mut ring = false;
        for running in self.queues.iter_mut().flatten() {
            ring |= running.take_ring(&self.memory)?;
        }
        Ok(ring)
    }
}

impl Running {
    /// Writes the next entry of the used ring without showing it to the guest.
    fn write_used(
        &mut self,
        memory: &GuestMemoryMmap,
        head: u16,
        written: u32,
    ) -> Result<(), DeviceError> {
        let place = self.queue.next_used() % self.queue.size();
        let address = GuestAddress(self.queue.used_ring() + 4 + 8 * u64::from(place));
        let entry = [u32::from(head).to_le(), written.to_le()];
        memory
            .write_obj(entry, address)
            .map_err(|_| DeviceError::Queue("a chain can't be given back"))?;
        self.queue
            .set_next_used(self.queue.next_used().wrapping_add(1));
        Ok(())
    }

    /// Whether the guest's used event lies among the entries since the last call. virtio-queue's
    /// own answer does not know of the entries of [`Running::write_used`].
    fn take_ring(&mut self, memory: &GuestMemoryMmap) -> Result<bool, DeviceError> {
        let old = Wrapping(std::mem::replace(
            &mut self.considered,
            self.queue.next_used(),
        ));
        let new = Wrapping(self.considered);
        if old == new || !self.queue.event_idx_enabled() {
            return Ok(old != new);
        }
        // The entries are out before the guest's wish is read; the guest does it the other way round.
        fence(Ordering::SeqCst);
        let place = 4 + 2 * u64::from(self.queue.size());
        let event: u16 = memory
            .load(
                GuestAddress(self.queue.avail_ring() + place),
                Ordering::Relaxed,
            )
            .map_err(|_| DeviceError::Queue("the rings are out of reach"))?;
        Ok(new - Wrapping(u16::from_le(event)) - Wrapping(1) < new - old)
    }
}

/// The queue with this index, if the device has it and the guest uses it.
fn running(queues: &mut [Option<Running>], index: usize) -> Option<&mut Running> {
    queues.get_mut(index).and_then(Option::as_mut)
}

/// Turns checked values into a ring. That its three parts are in RAM is checked here, for the
/// whole length that the size asks for.
fn make_ring(
    memory: &GuestMemoryMmap,
    setup: &QueueSetup,
    event_index: bool,
) -> Result<Queue, DeviceError> {
    let size = usize::from(setup.size);
    let parts = [
        (setup.descriptors, 16 * size),
        (setup.driver, 6 + 2 * size),
        (setup.device, 6 + 8 * size),
    ];
    for (address, length) in parts {
        // virtio-queue takes address 0 for "not set"; no kernel puts a ring there.
        if address == 0 || !memory.check_range(GuestAddress(address), length) {
            return Err(DeviceError::Queue("a ring lies outside of RAM"));
        }
    }
    let mut queue = Queue::new(setup.max)
        .map_err(|_| DeviceError::Queue("the largest size is no power of two"))?;
    queue
        .try_set_size(setup.size)
        .map_err(|_| DeviceError::Queue("the size is no power of two or too large"))?;
    queue
        .try_set_desc_table_address(GuestAddress(setup.descriptors))
        .and_then(|()| queue.try_set_avail_ring_address(GuestAddress(setup.driver)))
        .and_then(|()| queue.try_set_used_ring_address(GuestAddress(setup.device)))
        .map_err(|_| DeviceError::Queue("a ring is not aligned"))?;
    queue.set_event_idx(event_index);
    queue.set_ready(true);
    Ok(queue)
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    address: GuestAddress,
    length: u32,
}

/// One descriptor chain, walked and checked: all of it lies in RAM, the readable part comes before
/// the writable part, and neither is longer than 4 GiB.
pub struct Chain {
    memory: Arc<GuestMemoryMmap>,
    head: u16,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
}

impl Chain {
    fn walk(
        memory: &Arc<GuestMemoryMmap>,
        head: u16,
        descriptors: virtio_queue::DescriptorChain<&GuestMemoryMmap>,
    ) -> Result<Self, DeviceError> {
        let mut chain = Self {
            memory: Arc::clone(memory),
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        let mut complete = false;
        for descriptor in descriptors.take(MAX_SEGMENTS) {
            let segment = Segment {
                address: descriptor.addr(),
                length: descriptor.len(),
            };
            if !memory.check_range(segment.address, segment.length as usize) {
                return Err(DeviceError::Queue("a buffer lies outside of RAM"));
            }
            if descriptor.is_write_only() {
                chain.writable.push(segment);
            } else if chain.writable.is_empty() {
                chain.readable.push(segment);
            } else {
                return Err(DeviceError::Queue(
                    "a readable buffer follows a writable one",
                ));
            }
            complete = !descriptor.has_next();
        }
        // The walk also ends, silently, at a loop, a bad index or a bad indirect table.
        if !complete {
            return Err(DeviceError::Queue("a descriptor chain has no end"));
        }
        Ok(chain)
    }

    /// What to give back to [`Queues::push`].
    pub fn head(&self) -> u16 {
        self.head
    }

    /// Bytes from the guest.
    pub fn readable_length(&self) -> u32 {
        self.readable.iter().map(|segment| segment.length).sum()
    }

    /// Room for bytes to the guest.
    pub fn writable_length(&self) -> u32 {
        self.writable.iter().map(|segment| segment.length).sum()
    }

    /// Fills `into` from the readable part, starting at `offset`.
    pub fn read(&self, offset: u32, into: &mut [u8]) -> Result<(), DeviceError> {
        let mut rest = into;
        for (address, length) in pieces(&self.readable, offset, rest.len()) {
            let (piece, behind) = rest.split_at_mut(length);
            self.memory
                .read_slice(piece, address)
                .map_err(|_| DeviceError::Queue("a buffer lies outside of RAM"))?;
            rest = behind;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(DeviceError::Request("shorter than its parts"))
        }
    }

    /// Writes `bytes` into the writable part, starting at `offset`.
    pub fn write(&self, offset: u32, bytes: &[u8]) -> Result<(), DeviceError> {
        let mut rest = bytes;
        for (address, length) in pieces(&self.writable, offset, rest.len()) {
            let (piece, behind) = rest.split_at(length);
            self.memory
                .write_slice(piece, address)
                .map_err(|_| DeviceError::Queue("a buffer lies outside of RAM"))?;
            rest = behind;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(DeviceError::Request("no room for the answer"))
        }
    }
}

/// The places of `length` bytes at `offset` of a list of segments, as far as they reach.
fn pieces(
    segments: &[Segment],
    offset: u32,
    length: usize,
) -> impl Iterator<Item = (GuestAddress, usize)> + '_ {
    let mut skip = offset as usize;
    let mut left = length;
    segments.iter().filter_map(move |segment| {
        let size = segment.length as usize;
        let start = skip.min(size);
        skip -= start;
        let take = (size - start).min(left);
        left -= take;
        // Walked segments lie in RAM, so the sum can't overflow.
        (take > 0).then(|| (GuestAddress(segment.address.0 + start as u64), take))
    })
}
