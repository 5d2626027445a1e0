// SPDX-License-Identifier: Apache-2.0
//! The stdio of processes: each direction is one connection that the guest opens, and ends in a
//! container's log or at a client of lightvmd's.
//!
//! Bytes wait in two places only, both bounded: the vsock device's buffer of the connection and the
//! client's socket. Whoever can't take more makes the other side wait.

use std::collections::BTreeMap;
use std::io;

use lightvm_devices::ConnectionId;
use lightvm_protocol::agent::{Stream, StreamHello};
use lightvm_protocol::prost::Message;

use super::link::GuestLink;
use crate::logs::{ContainerLogs, Lines};
use crate::poller::{Interest, PolledSocket, Ready, Token};
use crate::report::Report;

/// A hello holds two ids; no id of ours comes near this many bytes.
const MAX_HELLO_BYTES: usize = 4096;

/// Bytes of the length in front of a hello.
const LENGTH_BYTES: usize = 4;

/// Clients that may wait for the guest's connection at once.
const MAX_WAITING: usize = 64;

/// Bytes that are moved from a client to the guest in one step.
const CHUNK: usize = 16 * 1024;

/// Names one direction of one process's stdio.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamName {
    container_id: String,
    exec_id: String,
    stream: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Stdin,
    Stdout,
    Stderr,
}

impl StreamName {
    /// `None` when the hello names no stream.
    pub(crate) fn new(hello: StreamHello) -> Option<Self> {
        let stream = match hello.stream() {
            Stream::Stdin => Direction::Stdin,
            Stream::Stdout => Direction::Stdout,
            Stream::Stderr => Direction::Stderr,
            Stream::Unspecified => return None,
        };
        let StreamHello {
            container_id,
            exec_id,
            ..
        } = hello;
        Some(Self {
            container_id,
            exec_id,
            stream,
        })
    }
}

/// A client's end of a stream.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PolledSocket,
    /// Bytes for the guest that came with the hello or that it has not taken yet.
    unsent: Vec<u8>,
    /// The client sends nothing more.
    ended: bool,
}

impl Client {
    /// A client that has said hello, and perhaps more.
    pub(crate) fn new(socket: PolledSocket, unsent: Vec<u8>) -> Self {
        Self {
            socket,
            unsent,
            ended: false,
        }
    }

    fn token(&self) -> Token {
        self.socket.token()
    }
}

/// What a connection of the guest is joined to.
#[derive(Debug)]
enum End {
    /// Its hello has not come yet.
    Unknown,
    /// Output into a container's log.
    Log { container_id: String, lines: Lines },
    /// Output to a client.
    Output(Client),
    /// Input from a client.
    Input(Client),
    /// Input that nobody gives (yet).
    NoInput(StreamName),
    /// Output that nobody wants.
    Dropped,
}

#[derive(Debug)]
struct Connection {
    end: End,
    /// The guest sends nothing more.
    ended: bool,
}

/// All stdio of one guest.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    /// Clients that came before the guest's connection.
    waiting: BTreeMap<StreamName, Client>,
    connections: BTreeMap<ConnectionId, Connection>,
    clients: BTreeMap<Token, ConnectionId>,
}

impl Stdio {
    /// A client wants this stream of an exec. It waits for the guest, which comes later. A client
    /// too many is turned away by closing its connection.
    pub(crate) fn add_client(
        &mut self,
        name: StreamName,
        mut client: Client,
        guest: &mut impl GuestLink,
    ) -> io::Result<()> {
        let claimed = self.connections.iter_mut().find_map(|(id, connection)| {
            matches!(&connection.end, End::NoInput(other) if *other == name)
                .then_some((*id, connection))
        });
        if let Some((id, connection)) = claimed {
            self.clients.insert(client.token(), id);
            connection.end = End::Input(client);
            self.pump(id, guest);
        } else if self.waiting.len() < MAX_WAITING {
            // Only a hang-up is of interest until there is someone to read for.
            client.socket.wait_for(Interest::default())?;
            self.waiting.insert(name, client);
        }
        Ok(())
    }

    /// The guest opened a stream connection.
    pub(crate) fn opened(&mut self, connection: ConnectionId) {
        self.connections.insert(
            connection,
            Connection {
                end: End::Unknown,
                ended: false,
            },
        );
    }

    /// Something came on a stream connection.
    pub(crate) fn receive(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if matches!(connection.end, End::Unknown) && !self.greet(id, guest, logs) {
            return;
        }
        self.drain(id, guest, logs, report);
    }

    /// The guest sends nothing more on a stream connection.
    pub(crate) fn shut_down(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        self.receive(id, guest, logs, report);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.ended = true;
        match &connection.end {
            End::Input(_) | End::NoInput(_) => {}
            End::Output(_) => self.drain(id, guest, logs, report),
            End::Unknown => self.forget(id, guest, logs, report),
            // The other direction was never used: with both shut down the connection goes.
            End::Log { .. } | End::Dropped => guest.shutdown(id),
        }
    }

    /// A stream connection is over.
    pub(crate) fn closed(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        self.drain(id, guest, logs, report);
        self.forget(id, guest, logs, report);
    }

    /// The guest takes input again.
    pub(crate) fn writable(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        self.pump(id, guest);
    }

    /// Something happened on a client's socket; false when it is not one of ours.
    pub(crate) fn client_ready(
        &mut self,
        ready: Ready,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) -> bool {
        let Some(&id) = self.clients.get(&ready.token) else {
            let before = self.waiting.len();
            self.waiting
                .retain(|_, client| client.token() != ready.token);
            return self.waiting.len() != before;
        };
        match self.connections.get(&id).map(|connection| &connection.end) {
            Some(End::Input(_)) => self.pump(id, guest),
            Some(End::Output(_)) if ready.hung_up => {
                self.drop_client(id, guest);
                self.drain(id, guest, logs, report);
            }
            _ => self.drain(id, guest, logs, report),
        }
        true
    }

    /// The guest is gone: what is buffered is written, every client sees the end of its stream.
    pub(crate) fn end_all(
        &mut self,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.closed(id, guest, logs, report);
        }
        self.waiting.clear();
    }

    /// Reads the hello of a connection; false when it has not come whole, or is none.
    fn greet(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &ContainerLogs,
    ) -> bool {
        let bytes = guest.received(id);
        let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() else {
            return false;
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_HELLO_BYTES {
            self.refuse(id, guest);
            return false;
        }
        let Some(message) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return false;
        };
        let name = StreamHello::decode(message).ok().and_then(StreamName::new);
        guest.consume(id, LENGTH_BYTES + length);
        let Some(name) = name else {
            self.refuse(id, guest);
            return false;
        };
        self.join(id, name, guest, logs);
        true
    }

    fn refuse(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        guest.reset(id);
        self.connections.remove(&id);
    }

    fn join(
        &mut self,
        id: ConnectionId,
        name: StreamName,
        guest: &mut impl GuestLink,
        logs: &ContainerLogs,
    ) {
        let client = self.waiting.remove(&name);
        if let Some(client) = &client {
            self.clients.insert(client.token(), id);
        }
        let end = match (name.stream, client) {
            (Direction::Stdin, Some(client)) => End::Input(client),
            (Direction::Stdin, None) => {
                // An exec's clients come first, so there is none; a container's may come later.
                if !name.exec_id.is_empty() {
                    guest.shutdown(id);
                }
                End::NoInput(name)
            }
            (_, Some(client)) => End::Output(client),
            (_, None) if !name.exec_id.is_empty() => End::Dropped,
            (stream, None) => {
                let stream = if stream == Direction::Stdout {
                    "stdout"
                } else {
                    "stderr"
                };
                let lines = Lines::new(stream, logs.is_terminal(&name.container_id));
                End::Log {
                    container_id: name.container_id,
                    lines,
                }
            }
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.end = end;
        }
        self.pump(id, guest);
    }

    /// Moves what the guest sent to where it belongs, as far as that takes it.
    fn drain(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let bytes = guest.received(id);
        let count = match &mut connection.end {
            End::Unknown => return,
            End::Log {
                container_id,
                lines,
            } => {
                if let Err(error) = logs.write(container_id, lines, bytes) {
                    report.line(format_args!("cannot write a container's log: {error}"));
                }
                bytes.len()
            }
            End::Input(_) | End::NoInput(_) | End::Dropped => bytes.len(),
            End::Output(client) => match send_all(&mut client.socket, bytes) {
                Ok(count) if count == bytes.len() && connection.ended => {
                    guest.consume(id, count);
                    self.drop_client(id, guest);
                    return;
                }
                Ok(count) => count,
                Err(_) => {
                    let count = bytes.len();
                    guest.consume(id, count);
                    self.drop_client(id, guest);
                    return;
                }
            },
        };
        guest.consume(id, count);
    }

    /// A client of an output stream is served or gone: what comes from now on is dropped.
    fn drop_client(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.ended {
            guest.shutdown(id);
        }
        if let End::Output(client) | End::Input(client) =
            std::mem::replace(&mut connection.end, End::Dropped)
        {
            self.clients.remove(&client.token());
        }
    }

    /// Moves what a client sent to the guest, as far as that takes it.
    fn pump(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        let Some(Connection {
            end: End::Input(client),
            ..
        }) = self.connections.get_mut(&id)
        else {
            return;
        };
        match feed(client, id, guest) {
            Ok(false) => {}
            // All was sent, or the guest takes nothing more.
            Ok(true) | Err(_) => {
                guest.shutdown(id);
                self.drop_client(id, guest);
            }
        }
    }

    /// Removes a connection that is over.
    fn forget(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        self.drop_output(id, logs, report);
        self.drop_client(id, guest);
        if self
            .connections
            .remove(&id)
            .is_some_and(|connection| !connection.ended)
        {
            guest.reset(id);
        }
    }

    fn drop_output(&mut self, id: ConnectionId, logs: &mut ContainerLogs, report: &mut Report) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let End::Log {
            container_id,
            lines,
        } = &mut connection.end
        {
            if let Err(error) = logs.finish(container_id, lines) {
                report.line(format_args!("cannot write a container's log: {error}"));
            }
        }
    }
}

/// Sends to a client what its socket takes; waits for room when that is not all.
fn send_all(socket: &mut PolledSocket, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.send(&bytes[sent..])? {
            0 => break,
            count => sent += count,
        }
    }
    socket.wait_for(Interest {
        read: false,
        write: sent < bytes.len(),
    })?;
    Ok(sent)
}

/// Moves bytes from a client to the guest; true when the client has ended and all was taken.
fn feed(client: &mut Client, id: ConnectionId, guest: &mut impl GuestLink) -> io::Result<bool> {
    loop {
        if !client.unsent.is_empty() {
            let count = guest.send(id, &client.unsent).map_err(io::Error::other)?;
            client.unsent.drain(..count);
            if !client.unsent.is_empty() {
                // The guest says when it has room.
                client.socket.wait_for(Interest::default())?;
                return Ok(false);
            }
        }
        if client.ended {
            return Ok(true);
        }
        let mut buffer = [0; CHUNK];
        match client.socket.receive(&mut buffer)? {
            None => {
                client.socket.wait_for(Interest::READ)?;
                return Ok(false);
            }
            Some(0) => client.ended = true,
            Some(count) => client.unsent.extend_from_slice(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
