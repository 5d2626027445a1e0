// SPDX-License-Identifier: Apache-2.0
//! All connections of a guest: packets in, packets out, no queues.

use std::collections::{BTreeMap, VecDeque};

use super::connection::Connection;
use super::wire::{Credit, FromGuest, Header, Operation, Ports};
use super::{ConnectionId, SendError, VsockEvent, VsockOptions};
use crate::device::DeviceEvent;

/// Resets that wait for a buffer; while there are so many, nothing more is heard from the guest.
const MAX_RESETS: usize = 64;

/// The connections of one guest.
pub(super) struct Connections {
    options: VsockOptions,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Those that the guest knows of.
    by_ports: BTreeMap<Ports, ConnectionId>,
    /// Resets to send, to ports without a connection.
    resets: VecDeque<Ports>,
    /// Connections that may have a packet to send, in turn. An entry may be outdated.
    turns: VecDeque<ConnectionId>,
    events: Vec<VsockEvent>,
    last_id: u64,
}

impl Connections {
    pub(super) fn new(options: VsockOptions) -> Self {
        Self {
            options,
            connections: BTreeMap::new(),
            by_ports: BTreeMap::new(),
            resets: VecDeque::new(),
            turns: VecDeque::new(),
            events: Vec::new(),
            last_id: 0,
        }
    }

    pub(super) fn guest_cid(&self) -> u32 {
        self.options.guest_cid
    }

    pub(super) fn take_events(&mut self, into: &mut Vec<DeviceEvent>) {
        into.extend(self.events.drain(..).map(DeviceEvent::Vsock));
    }

    // From the guest.

    /// Whether another packet of the guest's can be heard: each may cost a reset.
    pub(super) fn can_hear(&self) -> bool {
        self.resets.len() < MAX_RESETS
    }

    /// Whether to read this packet's data: none that will not be taken.
    pub(super) fn wants_data(&mut self, packet: &FromGuest) -> bool {
        let FromGuest::Packet(header) = packet else {
            return false;
        };
        let id = self.by_ports.get(&header.ports);
        let connection = id.and_then(|id| self.connections.get(id));
        header.operation == Operation::Data
            && connection.is_some_and(|it| it.may_receive(header.length).is_ok())
    }

    /// Acts on a packet. `data` is as long as the header says when it is wanted, else empty.
    pub(super) fn hear(&mut self, packet: FromGuest, data: &[u8]) {
        match packet {
            FromGuest::Packet(header) if header.operation == Operation::Request => {
                self.open(header);
            }
            FromGuest::Packet(header) => match self.by_ports.get(&header.ports) {
                Some(id) => self.hear_on(*id, header, data),
                None if header.operation == Operation::Reset => {}
                None => self.resets.push_back(header.ports),
            },
            FromGuest::Refused(ports) => match self.by_ports.get(&ports) {
                Some(id) => self.break_off(*id),
                None => self.resets.push_back(ports),
            },
            FromGuest::Dropped => {}
        }
    }

    fn open(&mut self, header: Header) {
        if let Some(id) = self.by_ports.get(&header.ports) {
            self.break_off(*id);
            return;
        }
        let known = self.options.ports.contains(&header.ports.host);
        if !known || self.connections.len() >= self.options.max_connections {
            self.resets.push_back(header.ports);
            return;
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let VsockOptions {
            receive_buffer,
            send_buffer,
            ..
        } = self.options;
        let connection = Connection::new(header.ports, header.credit, receive_buffer, send_buffer);
        self.connections.insert(id, connection);
        self.by_ports.insert(header.ports, id);
        self.turns.push_back(id);
        self.events.push(VsockEvent::Opened {
            connection: id,
            port: header.ports.host,
        });
    }

    fn hear_on(&mut self, id: ConnectionId, header: Header, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.hear_credit(header.credit);
        match header.operation {
            Operation::Data => {
                if connection.may_receive(header.length).is_err() {
                    return self.break_off(id);
                }
                if connection.receive(data) {
                    self.events.push(VsockEvent::Data { connection: id });
                }
            }
            Operation::Shutdown { receive, send } => {
                if connection.hear_shutdown(receive, send) {
                    self.events.push(VsockEvent::Shutdown { connection: id });
                }
                if connection.take_writable() {
                    self.events.push(VsockEvent::Writable { connection: id });
                }
                self.finish(id);
            }
            Operation::Reset => self.lose(id),
            Operation::CreditUpdate => {}
            Operation::CreditRequest => connection.request_credit(),
            // Only we answer requests.
            Operation::Request | Operation::Response => return self.break_off(id),
        }
        self.take_turn(id);
    }

    /// The guest is gone from a connection. What it sent in good order is kept for the VMM.
    fn lose(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        self.by_ports.remove(&connection.ports);
        if !connection.detach() {
            let reset = connection.guest_sends();
            self.close(id, reset);
        }
    }

    /// The guest broke the rules of a connection: both sides forget it.
    fn break_off(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            self.resets.push_back(connection.ports);
            self.close(id, true);
        }
    }

    /// Ends a connection that the guest has closed, once everything was taken.
    fn finish(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if !connection.is_finished() {
            return;
        }
        if !connection.is_detached() {
            // The answer that a guest waits for when it closes.
            self.resets.push_back(connection.ports);
        }
        self.close(id, false);
    }

    fn close(&mut self, id: ConnectionId, reset: bool) {
        if self.forget(id) {
            self.events.push(VsockEvent::Closed {
                connection: id,
                reset,
            });
        }
    }

    fn forget(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.remove(&id) else {
            return false;
        };
        // A detached one may have been followed by another with the same ports.
        if !connection.is_detached() {
            self.by_ports.remove(&connection.ports);
        }
        true
    }

    /// The driver is gone.
    pub(super) fn reset(&mut self) {
        self.resets.clear();
        self.turns.clear();
        for id in std::mem::take(&mut self.by_ports).into_values() {
            self.lose(id);
        }
    }

    // From the VMM.

    pub(super) fn received(&mut self, id: ConnectionId) -> &[u8] {
        match self.connections.get_mut(&id) {
            Some(connection) => connection.received(),
            None => &[],
        }
    }

    pub(super) fn consume(&mut self, id: ConnectionId, count: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.consume(count);
            self.finish(id);
            self.take_turn(id);
        }
    }

    pub(super) fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<usize, SendError> {
        let connection = self.connections.get_mut(&id).ok_or(SendError::Unknown)?;
        let count = connection.send(bytes).ok_or(SendError::Shutdown)?;
        self.take_turn(id);
        Ok(count)
    }

    pub(super) fn shutdown(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.shutdown();
            self.take_turn(id);
        }
    }

    pub(super) fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            if !connection.is_detached() {
                self.resets.push_back(connection.ports);
            }
            self.forget(id);
        }
    }

    // To the guest.

    fn take_turn(&mut self, id: ConnectionId) {
        let connection = self.connections.get(&id);
        if connection.is_some_and(Connection::has_packet) && !self.turns.contains(&id) {
            self.turns.push_back(id);
        }
    }

    /// Whether there is a packet for the guest; drops outdated turns.
    pub(super) fn has_packet(&mut self) -> bool {
        while let Some(id) = self.turns.front() {
            let connection = self.connections.get(id);
            if connection.is_some_and(Connection::has_packet) {
                break;
            }
            self.turns.pop_front();
        }
        !self.resets.is_empty() || !self.turns.is_empty()
    }

    /// The next packet, with at most `room` bytes of data. Resets first, then each in turn.
    pub(super) fn next_packet(&mut self, room: u32) -> Option<(Header, Vec<u8>)> {
        if let Some(ports) = self.resets.pop_front() {
            let header = Header {
                ports,
                operation: Operation::Reset,
                length: 0,
                credit: Credit::default(),
            };
            return Some((header, Vec::new()));
        }
        while let Some(id) = self.turns.pop_front() {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let Some(packet) = connection.next_packet(room) else {
                continue;
            };
            if connection.take_writable() {
                self.events.push(VsockEvent::Writable { connection: id });
            }
            self.take_turn(id);
            return Some(packet);
        }
        None
    }
}
