// SPDX-License-Identifier: Apache-2.0
//! One connection: its two buffers, both sides' credit, and what it has to say next.

use std::collections::VecDeque;
use std::num::Wrapping;

use super::wire::{Credit, Header, Operation, Ports};

/// What must not happen on a connection that the guest keeps to the rules on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// More data than the guest had credit for.
    TooMuchData,
    /// Data after the guest said that it sends no more.
    DataAfterShutdown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HostShutdown {
    Not,
    /// To be said once the outbox is empty.
    Wanted,
    Said,
}

/// One stream connection, seen from the host.
pub(super) struct Connection {
    pub(super) ports: Ports,
    /// From the guest, not yet taken; at most `capacity`.
    inbox: VecDeque<u8>,
    capacity: u32,
    /// Bytes that left the inbox, and how many of those the guest has been told of.
    forwarded: Wrapping<u32>,
    told: Wrapping<u32>,
    /// The guest's credit in its own words, and what we sent so far.
    guest: Credit,
    sent: Wrapping<u32>,
    /// To the guest, waiting for credit and buffers; at most `outbox_capacity`.
    outbox: VecDeque<u8>,
    outbox_capacity: usize,
    guest_sends: bool,
    guest_receives: bool,
    /// The guest knows nothing of the connection any more; only the inbox is left.
    detached: bool,
    host_shutdown: HostShutdown,
    response_due: bool,
    credit_due: bool,
    /// A send came up short, so the VMM waits to hear that there is room.
    writer_waits: bool,
    /// The VMM was told of data and has not looked since.
    announced: bool,
}

impl Connection {
    /// A connection that the guest has just asked for.
    pub(super) fn new(ports: Ports, guest: Credit, capacity: u32, outbox_capacity: u32) -> Self {
        Self {
            ports,
            inbox: VecDeque::new(),
            capacity,
            forwarded: Wrapping(0),
            told: Wrapping(0),
            guest,
            sent: Wrapping(0),
            outbox: VecDeque::new(),
            outbox_capacity: outbox_capacity as usize,
            guest_sends: true,
            guest_receives: true,
            detached: false,
            host_shutdown: HostShutdown::Not,
            response_due: true,
            credit_due: false,
            writer_waits: false,
            announced: false,
        }
    }

    // From the guest.

    pub(super) fn hear_credit(&mut self, credit: Credit) {
        self.guest = credit;
    }

    pub(super) fn request_credit(&mut self) {
        self.credit_due = true;
    }

    /// Whether `length` more bytes may come; asked before they are copied.
    pub(super) fn may_receive(&self, length: u32) -> Result<(), Violation> {
        if !self.guest_sends {
            return Err(Violation::DataAfterShutdown);
        }
        // The inbox never holds more than a u32 counts.
        if length > self.capacity - self.inbox.len() as u32 {
            return Err(Violation::TooMuchData);
        }
        Ok(())
    }

    /// Takes data in; true when the VMM must be told.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> bool {
        self.inbox.extend(bytes);
        !bytes.is_empty() && !std::mem::replace(&mut self.announced, true)
    }

    /// The guest receives or sends no more; true when that it sends no more is new.
    pub(super) fn hear_shutdown(&mut self, receive: bool, send: bool) -> bool {
        if receive {
            self.guest_receives = false;
            self.outbox.clear();
        }
        let new = send && self.guest_sends;
        self.guest_sends &= !send;
        new
    }

    /// The guest is done with the connection; true when it went in good order and what it sent
    /// before is still to be taken.
    pub(super) fn detach(&mut self) -> bool {
        self.detached = true;
        self.guest_receives = false;
        self.outbox.clear();
        !self.guest_sends && !self.inbox.is_empty()
    }

    pub(super) fn is_detached(&self) -> bool {
        self.detached
    }

    pub(super) fn guest_sends(&self) -> bool {
        self.guest_sends
    }

    /// The guest wants nothing more of it, and all that it sent was taken.
    pub(super) fn is_finished(&self) -> bool {
        !self.guest_sends && !self.guest_receives && self.inbox.is_empty()
    }

    // From the VMM.

    pub(super) fn received(&mut self) -> &[u8] {
        self.announced = false;
        self.inbox.make_contiguous()
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.inbox.len());
        self.inbox.drain(..count);
        self.forwarded += Wrapping(count as u32);
        // One update for half a buffer: the guest never stalls and is not told about every byte.
        self.credit_due |= (self.forwarded - self.told).0 >= self.capacity.div_ceil(2);
    }

    /// Takes as many bytes as there is room for; `None` when nothing can be sent any more.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.guest_receives || self.host_shutdown != HostShutdown::Not {
            return None;
        }
        let count = bytes.len().min(self.outbox_capacity - self.outbox.len());
        self.outbox.extend(&bytes[..count]);
        self.writer_waits = count < bytes.len();
        Some(count)
    }

    pub(super) fn shutdown(&mut self) {
        if self.host_shutdown == HostShutdown::Not {
            self.host_shutdown = HostShutdown::Wanted;
        }
    }

    // To the guest.

    fn sendable(&self) -> u32 {
        let in_flight = (self.sent - Wrapping(self.guest.forwarded)).0;
        let credit = self.guest.buffer.saturating_sub(in_flight);
        credit.min(self.outbox.len() as u32)
    }

    fn shutdown_due(&self) -> bool {
        self.host_shutdown == HostShutdown::Wanted && self.outbox.is_empty()
    }

    /// Whether [`Connection::next_packet`] would give one.
    pub(super) fn has_packet(&self) -> bool {
        let due = self.response_due || self.credit_due || self.shutdown_due();
        !self.detached && (due || self.sendable() > 0)
    }

    /// The next packet for a buffer with room for `room` bytes of data.
    pub(super) fn next_packet(&mut self, room: u32) -> Option<(Header, Vec<u8>)> {
        if self.detached {
            return None;
        }
        let length = self.sendable().min(room);
        let operation = if std::mem::take(&mut self.response_due) {
            Operation::Response
        } else if length > 0 {
            Operation::Data
        } else if self.shutdown_due() {
            self.host_shutdown = HostShutdown::Said;
            // A guest that sends no more has nothing left to do but to close.
            Operation::Shutdown {
                receive: !self.guest_sends,
                send: true,
            }
        } else if self.credit_due {
            Operation::CreditUpdate
        } else {
            return None;
        };
        let length = if operation == Operation::Data {
            length
        } else {
            0
        };
        let data: Vec<u8> = self.outbox.drain(..length as usize).collect();
        self.sent += Wrapping(length);
        // Every packet carries our credit.
        self.credit_due = false;
        self.told = self.forwarded;
        let header = Header {
            ports: self.ports,
            operation,
            length,
            credit: Credit {
                buffer: self.capacity,
                forwarded: self.forwarded.0,
            },
        };
        Some((header, data))
    }

    /// True once, when a writer that waits should try again: there is room, or never will be.
    pub(super) fn take_writable(&mut self) -> bool {
        let room = self.outbox.len() <= self.outbox_capacity / 2;
        let tell = self.writer_waits && room;
        self.writer_waits &= !tell;
        tell
    }
}
