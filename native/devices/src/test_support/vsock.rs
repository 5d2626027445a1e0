// SPDX-License-Identifier: Apache-2.0
//! A vsock driver that speaks in single packets.

use std::collections::VecDeque;

use vm_memory::{Bytes, GuestAddress};

use super::{Buffer, Guest, Ring};
use crate::{DeviceId, Vsock, VsockOptions};

// Bytes of a header.
const HEADER: usize = 44;
const BUFFER: usize = 4096;

/// One packet, as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Sender's context id.
    pub source_cid: u64,
    /// Receiver's context id.
    pub destination_cid: u64,
    /// Sender's port.
    pub source: u32,
    /// Receiver's port.
    pub destination: u32,
    /// What the header says that the data's length is.
    pub length: u32,
    /// 1 = stream.
    pub kind: u16,
    /// Operation number.
    pub operation: u16,
    /// Flags of the operation.
    pub flags: u32,
    /// Sender's buffer size.
    pub buffer: u32,
    /// Bytes that have left that buffer.
    pub forwarded: u32,
    /// What follows the header.
    pub data: Vec<u8>,
}

impl Packet {
    /// A packet of guest 3 to the host, with 256 KiB of credit.
    pub fn new(operation: u16, source: u32, destination: u32, data: &[u8]) -> Self {
        Self {
            source_cid: 3,
            destination_cid: 2,
            source,
            destination,
            length: data.len() as u32,
            kind: 1,
            operation,
            flags: 0,
            buffer: 256 << 10,
            forwarded: 0,
            data: data.to_vec(),
        }
    }

    /// The same with other flags.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// The same with another credit.
    pub fn credit(mut self, buffer: u32, forwarded: u32) -> Self {
        self.buffer = buffer;
        self.forwarded = forwarded;
        self
    }

    /// Header and data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.source_cid.to_le_bytes().to_vec();
        bytes.extend(self.destination_cid.to_le_bytes());
        bytes.extend(self.source.to_le_bytes());
        bytes.extend(self.destination.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.operation.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buffer.to_le_bytes());
        bytes.extend(self.forwarded.to_le_bytes());
        bytes.extend(&self.data);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8"));
        Self {
            source_cid: long(0),
            destination_cid: long(8),
            source: word(16),
            destination: word(20),
            length: word(24),
            kind: word(28) as u16,
            operation: (word(28) >> 16) as u16,
            flags: word(32),
            buffer: word(36),
            forwarded: word(40),
            data: bytes[HEADER..].to_vec(),
        }
    }
}

/// A guest with a running vsock device and some buffers of 4 KiB on offer.
pub struct VsockDriver {
    /// The guest.
    pub guest: Guest,
    /// The device.
    pub id: DeviceId,
    /// The device's queue to the guest.
    pub receive: Ring,
    /// The device's queue from the guest.
    pub transmit: Ring,
    out: GuestAddress,
    buffers: VecDeque<GuestAddress>,
}

impl VsockDriver {
    /// A running device with 8 buffers on offer.
    pub fn new(options: VsockOptions) -> Self {
        let mut driver = Self::without_buffers(options);
        for _ in 0..8 {
            let address = driver.guest.allocate(BUFFER);
            driver.give(address);
        }
        driver
    }

    /// A running device that has nowhere to write.
    pub fn without_buffers(options: VsockOptions) -> Self {
        let (mut guest, id, mut rings) = Guest::with(Vsock::new(options));
        rings.truncate(2);
        let transmit = rings.remove(1);
        let receive = rings.remove(0);
        let out = guest.allocate(HEADER + 128 * 1024);
        Self {
            guest,
            id,
            receive,
            transmit,
            out,
            buffers: VecDeque::new(),
        }
    }

    /// Offers a buffer of 4 KiB.
    pub fn give(&mut self, address: GuestAddress) {
        self.receive.offer(&[Buffer {
            address,
            length: BUFFER as u32,
            writable: true,
        }]);
        self.buffers.push_back(address);
    }

    /// Sends a packet and rings.
    pub fn send(&mut self, packet: &Packet) {
        self.send_bytes(&packet.to_bytes());
    }

    /// Sends anything and rings.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.guest.memory.write_slice(bytes, self.out).expect("RAM");
        self.transmit.offer(&[Buffer {
            address: self.out,
            length: bytes.len() as u32,
            writable: false,
        }]);
        self.transmit.kick(&mut self.guest);
    }

    /// Packets that came since the last call; their buffers are offered again.
    pub fn take(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        for (_, written) in self.receive.used() {
            let address = self.buffers.pop_front().expect("an offered buffer");
            let mut bytes = vec![0; written as usize];
            let read = self.guest.memory.read_slice(&mut bytes, address);
            read.expect("RAM");
            packets.push(Packet::from_bytes(&bytes));
            self.give(address);
        }
        packets
    }

    /// Calls the device as the VMM does.
    pub fn host<R>(&mut self, act: impl FnOnce(&mut Vsock) -> R) -> R {
        let result = self.guest.bus.with_device(self.id, act);
        result.expect("the vsock device")
    }
}
