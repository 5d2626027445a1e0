// SPDX-License-Identifier: Apache-2.0
//! The device face of virtio-vsock: moves packets between queues and connections.

use std::any::Any;

use lightvm_abi::TYPE_VSOCK;

use super::connections::Connections;
use super::wire::{FromGuest, HEADER_LENGTH};
use super::{ConnectionId, SendError, VsockOptions};
use crate::{Device, DeviceError, DeviceEvent, Progress, Queues};

/// To the guest.
const RX: usize = 0;
/// From the guest.
const TX: usize = 1;
/// VIRTIO_VSOCK_F_STREAM.
const FEATURE_STREAM: u64 = 1;
/// Packets of one turn, each way.
const BUDGET: usize = 256;
/// Data of one packet to the guest, whatever the size of its buffers.
const MAX_DATA: u32 = 64 << 10;

/// The vsock device.
pub struct Vsock {
    connections: Connections,
    /// Data of the packet that is being heard.
    buffer: Vec<u8>,
}

impl Vsock {
    /// A device without connections.
    pub fn new(options: VsockOptions) -> Self {
        Self {
            connections: Connections::new(options),
            buffer: Vec::new(),
        }
    }

    /// Bytes that came and were not taken; empty for an unknown connection.
    pub fn received(&mut self, connection: ConnectionId) -> &[u8] {
        self.connections.received(connection)
    }

    /// Takes the first `count` bytes of [`Vsock::received`]: the guest may send as many again.
    pub fn consume(&mut self, connection: ConnectionId, count: usize) {
        self.connections.consume(connection, count);
    }

    /// Queues bytes for the guest and returns how many were taken;
    /// [`VsockEvent::Writable`](super::VsockEvent::Writable) follows when there is room again
    /// after a short count.
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<usize, SendError> {
        self.connections.send(connection, bytes)
    }

    /// Sends nothing more, after what was queued. The other direction stays open.
    pub fn shutdown(&mut self, connection: ConnectionId) {
        self.connections.shutdown(connection);
    }

    /// Ends the connection at once, both ways; no event follows.
    pub fn reset_connection(&mut self, connection: ConnectionId) {
        self.connections.abort(connection);
    }

    /// Hears what the guest sent, as long as its answers find room.
    fn hear(&mut self, queues: &mut Queues) -> Result<Progress, DeviceError> {
        for _ in 0..BUDGET {
            if !self.connections.can_hear() {
                return Ok(Progress::More);
            }
            let Some(chain) = queues.pop(TX)? else {
                if queues.arm(TX)? {
                    continue;
                }
                return Ok(Progress::Idle);
            };
            let mut header = [0; HEADER_LENGTH];
            chain
                .read(0, &mut header)
                .map_err(|_| DeviceError::Request("a vsock packet without a header"))?;
            let packet = FromGuest::parse(&header, self.connections.guest_cid());
            self.buffer.clear();
            if let FromGuest::Packet(header) = &packet {
                if header.length > chain.readable_length() - HEADER_LENGTH as u32 {
                    return Err(DeviceError::Request("a vsock packet shorter than it says"));
                }
                if self.connections.wants_data(&packet) {
                    self.buffer.resize(header.length as usize, 0);
                    chain.read(HEADER_LENGTH as u32, &mut self.buffer)?;
                }
            }
            self.connections.hear(packet, &self.buffer);
            queues.push(TX, chain.head(), 0)?;
        }
        Ok(Progress::More)
    }

    /// Tells the guest what there is to tell, as far as its buffers reach.
    fn tell(&mut self, queues: &mut Queues) -> Result<Progress, DeviceError> {
        for _ in 0..BUDGET {
            if !self.connections.has_packet() {
                return Ok(Progress::Idle);
            }
            let Some(chain) = queues.pop(RX)? else {
                if queues.arm(RX)? {
                    continue;
                }
                return Ok(Progress::Idle);
            };
            let room = chain
                .writable_length()
                .checked_sub(HEADER_LENGTH as u32)
                .filter(|room| *room > 0)
                .ok_or(DeviceError::Request("a vsock buffer without room"))?;
            let mut written = 0;
            if let Some((header, data)) = self.connections.next_packet(room.min(MAX_DATA)) {
                chain.write(0, &header.to_guest(self.connections.guest_cid()))?;
                chain.write(HEADER_LENGTH as u32, &data)?;
                written = HEADER_LENGTH as u32 + header.length;
            }
            queues.push(RX, chain.head(), written)?;
        }
        Ok(Progress::More)
    }
}

impl Device for Vsock {
    fn kind(&self) -> u32 {
        TYPE_VSOCK
    }

    fn features(&self) -> u64 {
        FEATURE_STREAM
    }

    /// To the guest, from the guest, and events (a transport reset), of which there are none.
    fn queue_sizes(&self) -> &'static [u16] {
        &[256, 256, 16]
    }

    fn config(&self) -> Vec<u8> {
        u64::from(self.connections.guest_cid())
            .to_le_bytes()
            .to_vec()
    }

    fn reset(&mut self, events: &mut Vec<DeviceEvent>) {
        self.connections.reset();
        self.connections.take_events(events);
    }

    fn process(
        &mut self,
        queues: &mut Queues,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<Progress, DeviceError> {
        // Telling first makes room for answers; telling last sends the answers.
        let outcome = self
            .tell(queues)
            .and_then(|_| self.hear(queues))
            .and_then(|heard| Ok((heard, self.tell(queues)?)));
        self.connections.take_events(events);
        let (heard, told) = outcome?;
        // While the guest gives no buffers for what it is owed, it is not heard; its next buffer
        // comes with a ring.
        let more = heard == Progress::More && self.connections.can_hear();
        Ok(if more || told == Progress::More {
            Progress::More
        } else {
            Progress::Idle
        })
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
