// SPDX-License-Identifier: Apache-2.0
//! A network card whose buffers cannot be touched while the device has them.

use core::ptr::NonNull;
use core::slice;

use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, Result};

/// Frames that can wait in each direction.
const QUEUE_SIZE: usize = 8;
/// Holds a virtio header and a frame of 1514 bytes; virtio-drivers wants 1526 at least.
const BUFFER_SIZE: usize = 2048;
const PAGES: usize = 2 * QUEUE_SIZE * BUFFER_SIZE / PAGE_SIZE;

/// Largest frame, in bytes.
pub const MAX_FRAME: usize = 1514;

/// A network card.
///
/// Of the buffers, the first half is for what comes: the device has all of them, except while
/// [`Self::receive`] looks at one. The second half is for what goes: the device has those that are
/// marked as sent.
pub struct NetworkCard<H: Hal, T: Transport> {
    raw: VirtIONetRaw<H, T, QUEUE_SIZE>,
    /// Start of the buffers.
    memory: NonNull<u8>,
    /// Which buffer the device fills under which token.
    receiving: [usize; QUEUE_SIZE],
    /// Token and length of each buffer that the device sends.
    sent: [Option<(u16, usize)>; QUEUE_SIZE],
}

impl<H: Hal, T: Transport> NetworkCard<H, T> {
    /// Sets the device up and gives it its buffers.
    ///
    /// # Errors
    ///
    /// The device does not do as virtio says.
    pub fn new(transport: T) -> Result<Self> {
        let mut card = Self {
            raw: VirtIONetRaw::new(transport)?,
            memory: H::dma_alloc(PAGES, BufferDirection::Both).1,
            receiving: [0; QUEUE_SIZE],
            sent: [None; QUEUE_SIZE],
        };
        for index in 0..QUEUE_SIZE {
            card.post(index)?;
        }
        Ok(card)
    }

    /// The card's address.
    pub fn mac_address(&self) -> [u8; 6] {
        self.raw.mac_address()
    }

    /// Copies the next frame that has come, at most [`MAX_FRAME`] bytes, and tells its length.
    ///
    /// # Errors
    ///
    /// The device does not do as virtio says.
    pub fn receive(&mut self, frame: &mut [u8; MAX_FRAME]) -> Result<Option<usize>> {
        let Some(token) = self.raw.poll_receive() else {
            return Ok(None);
        };
        let index = self.receiving[usize::from(token) % QUEUE_SIZE];
        // SAFETY: the device has just given this buffer back, and nobody else looks at it.
        let buffer = unsafe { self.buffer(index, BUFFER_SIZE) };
        // SAFETY: it is the buffer that `post` gave away for this token.
        let (header, length) = unsafe { self.raw.receive_complete(token, buffer) }?;
        let length = length
            .min(MAX_FRAME)
            .min(BUFFER_SIZE.saturating_sub(header));
        frame[..length].copy_from_slice(&buffer[header..header + length]);
        self.post(index)?;
        Ok(Some(length))
    }

    /// Whether [`Self::send`] would take a frame now.
    pub fn can_send(&mut self) -> bool {
        self.reclaim();
        self.sent.iter().any(Option::is_none)
    }

    /// Sends a frame of `length` bytes, at most [`MAX_FRAME`], that `fill` writes. When the device
    /// has not sent the ones before, the frame is lost, as frames may be.
    pub fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(length <= MAX_FRAME, "a frame of {length} bytes");
        self.reclaim();
        let Some(index) = self.sent.iter().position(Option::is_none) else {
            return fill(&mut [0; MAX_FRAME][..length]);
        };
        // SAFETY: it is not marked as sent, so the device does not have it, and no other reference
        // lives.
        let buffer = unsafe { self.buffer(QUEUE_SIZE + index, BUFFER_SIZE) };
        let header = self.raw.fill_buffer_header(buffer).unwrap_or(0);
        let filled = fill(&mut buffer[header..header + length]);
        let whole = &buffer[..header + length];
        // SAFETY: from here on it is marked as sent, until `reclaim` takes it back.
        if let Ok(token) = unsafe { self.raw.transmit_begin(whole) } {
            self.sent[index] = Some((token, whole.len()));
        }
        filled
    }

    /// Takes the buffers back that the device has sent.
    fn reclaim(&mut self) {
        while let Some(token) = self.raw.poll_transmit() {
            let sent = |slot: &Option<(u16, usize)>| slot.is_some_and(|(known, _)| known == token);
            let Some(index) = self.sent.iter().position(sent) else {
                return;
            };
            let Some((_, length)) = self.sent[index].take() else {
                return;
            };
            // SAFETY: the device is done with it, as its token has come back.
            let buffer = unsafe { self.buffer(QUEUE_SIZE + index, length) };
            // SAFETY: it is the buffer that was given away for this token.
            if unsafe { self.raw.transmit_complete(token, buffer) }.is_err() {
                return;
            }
        }
    }

    /// Gives the device a buffer to fill.
    fn post(&mut self, index: usize) -> Result {
        // SAFETY: called only for a buffer that the device does not have, or not yet.
        let buffer = unsafe { self.buffer(index, BUFFER_SIZE) };
        // SAFETY: nobody touches it until its token comes back: see `receive`.
        let token = unsafe { self.raw.receive_begin(buffer) }?;
        self.receiving[usize::from(token) % QUEUE_SIZE] = index;
        Ok(())
    }

    /// The first bytes of a buffer.
    ///
    /// # Safety
    ///
    /// The device does not have it, and no other reference to it lives.
    unsafe fn buffer<'a>(&self, index: usize, length: usize) -> &'a mut [u8] {
        assert!(
            index < 2 * QUEUE_SIZE && length <= BUFFER_SIZE,
            "no such buffer"
        );
        let start = self.memory.as_ptr().wrapping_add(index * BUFFER_SIZE);
        // SAFETY: inside the memory by the check above, and that is never given back; the caller
        // answers for the rest.
        unsafe { slice::from_raw_parts_mut(start, length) }
    }
}
