// SPDX-License-Identifier: Apache-2.0
//! The stdio of processes and forwarded connections: each is one connection that the guest opens,
//! and ends in a container's log, at clients of lightvmd's, or both.
//!
//! Bytes wait in three places only, all bounded: the vsock device's buffer of the connection, the
//! client's socket, and the lines that a log file has not taken. Whoever can't take more makes the
//! other side wait.

mod client;
mod forward;
mod input;
mod name;
mod output;

use std::collections::BTreeMap;
use std::io;

use lightvm_devices::ConnectionId;
use lightvm_protocol::agent::StreamHello;
use lightvm_protocol::prost::Message;

pub(crate) use self::client::Client;
use self::forward::Forward;
use self::input::Input;
use self::name::Direction;
pub(crate) use self::name::StreamName;
use self::output::{Flow, Output};
use super::link::GuestLink;
use crate::logs::{ContainerLogs, Lines};
use crate::poller::{Ready, Token};
use crate::report::Report;

/// A hello holds two ids; no id of ours comes near this many bytes.
const MAX_HELLO_BYTES: usize = 4096;

/// Bytes of the length in front of a hello.
const LENGTH_BYTES: usize = 4;

/// Clients that may wait for the guest's connection at once: as many as it may have connections.
const MAX_WAITING: usize = 256;

/// What a connection of the guest is joined to.
#[derive(Debug)]
enum End {
    /// Its hello has not come yet.
    Unknown,
    Output(StreamName, Output),
    Input(StreamName, Input),
    Forward(Forward),
}

/// All stdio of one guest.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    /// Clients that came before the guest's connection.
    waiting: BTreeMap<StreamName, Client>,
    connections: BTreeMap<ConnectionId, End>,
}

impl End {
    fn has_client(&self, token: Token) -> bool {
        match self {
            Self::Unknown => false,
            Self::Output(_, output) => output.has_client(token),
            Self::Input(_, input) => input.has_client(token),
            Self::Forward(forward) => forward.has_client(token),
        }
    }
}

impl Stdio {
    /// A client wants this stream. That of an exec or a forwarded connection comes later, so the
    /// client waits; a container's is there. A client too many, or for a stream that is not there,
    /// is turned away by closing its connection.
    pub(crate) fn add_client(
        &mut self,
        name: StreamName,
        mut client: Client,
        guest: &mut impl GuestLink,
    ) -> io::Result<()> {
        if name.is_of_container() {
            return self.attach(&name, client, guest);
        }
        if self.waiting.len() < MAX_WAITING {
            client.wait()?;
            self.waiting.insert(name, client);
        }
        Ok(())
    }

    fn attach(
        &mut self,
        wanted: &StreamName,
        client: Client,
        guest: &mut impl GuestLink,
    ) -> io::Result<()> {
        let found = self.connections.iter_mut().find(
            |(_, end)| matches!(end, End::Output(name, _) | End::Input(name, _) if name == wanted),
        );
        match found {
            Some((_, End::Output(_, output))) => output.attach(client),
            Some((&id, End::Input(_, input))) => {
                input.attach(client);
                input.pump(id, guest);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The guest opened a stream connection.
    pub(crate) fn opened(&mut self, connection: ConnectionId) {
        self.connections.insert(connection, End::Unknown);
    }

    /// Something came on a stream connection.
    pub(crate) fn receive(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let is_unknown = matches!(self.connections.get(&id), Some(End::Unknown));
        if !is_unknown || self.greet(id, guest, logs) {
            self.move_bytes(id, guest, logs, report);
        }
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
        match self.connections.get_mut(&id) {
            Some(End::Output(_, output)) => output.end(),
            Some(End::Forward(forward)) => forward.end(),
            Some(End::Unknown) => return self.reset(id, guest),
            Some(End::Input(..)) | None => return,
        }
        self.move_bytes(id, guest, logs, report);
    }

    /// A stream connection is over. The clients see the end of their streams.
    pub(crate) fn closed(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        self.move_bytes(id, guest, logs, report);
        if let Some(End::Output(_, mut output)) = self.connections.remove(&id) {
            output.finish_log(logs, report);
        }
    }

    /// The guest takes input again.
    pub(crate) fn writable(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        self.move_bytes(id, guest, logs, report);
    }

    /// A log takes more again.
    pub(crate) fn logs_ready(
        &mut self,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let logged = |end: &End| matches!(end, End::Output(_, output) if output.is_logged());
        let connections = self.connections.iter().filter(|(_, end)| logged(end));
        let ids: Vec<_> = connections.map(|(id, _)| *id).collect();
        for id in ids {
            self.move_bytes(id, guest, logs, report);
        }
    }

    /// Something happened on a client's socket; false when it is not one of ours.
    pub(crate) fn client_ready(
        &mut self,
        ready: Ready,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) -> bool {
        let mut connections = self.connections.iter_mut();
        let Some((&id, end)) = connections.find(|(_, end)| end.has_client(ready.token)) else {
            let before = self.waiting.len();
            self.waiting
                .retain(|_, client| client.token() != ready.token);
            return self.waiting.len() != before;
        };
        if ready.hung_up {
            match end {
                End::Output(_, output) => output.drop_client(ready.token),
                End::Input(_, input) => input.hung_up(ready.token),
                End::Forward(forward) => forward.hung_up(),
                End::Unknown => {}
            }
        }
        self.move_bytes(id, guest, logs, report);
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
            self.reset(id, guest);
            return false;
        }
        let Some(message) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return false;
        };
        let name = StreamHello::decode(message).ok().and_then(StreamName::new);
        guest.consume(id, LENGTH_BYTES + length);
        let Some(name) = name else {
            self.reset(id, guest);
            return false;
        };
        self.join(id, name, guest, logs);
        true
    }

    fn join(
        &mut self,
        id: ConnectionId,
        name: StreamName,
        guest: &mut impl GuestLink,
        logs: &ContainerLogs,
    ) {
        let client = self.waiting.remove(&name);
        let end = match &name {
            StreamName::Forward(_) => match client {
                Some(client) => End::Forward(Forward::new(client)),
                // Whoever asked for it has gone.
                None => return self.reset(id, guest),
            },
            StreamName::Stdio { direction, .. } if *direction == Direction::Stdin => {
                let input = if name.is_of_container() {
                    Input::of_container()
                } else {
                    Input::of_exec(client, id, guest)
                };
                End::Input(name, input)
            }
            StreamName::Stdio {
                container_id,
                direction,
                ..
            } => {
                let output = if name.is_of_container() {
                    let lines = Lines::new(direction.log_name(), logs.is_terminal(container_id));
                    Output::log(container_id.clone(), lines)
                } else {
                    Output::client(client)
                };
                End::Output(name, output)
            }
        };
        self.connections.insert(id, end);
    }

    /// Moves what can be moved on a connection.
    fn move_bytes(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) {
        let flow = match self.connections.get_mut(&id) {
            Some(End::Output(_, output)) => output.drain(id, guest, logs, report),
            Some(End::Forward(forward)) => forward.pump(id, guest),
            Some(End::Input(_, input)) => {
                let count = guest.received(id).len();
                guest.consume(id, count);
                input.pump(id, guest);
                Flow::Goes
            }
            Some(End::Unknown) | None => Flow::Goes,
        };
        if flow == Flow::BrokenOff {
            self.reset(id, guest);
        }
    }

    /// Breaks a connection off. The clients see the end of their streams.
    fn reset(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        guest.reset(id);
        self.connections.remove(&id);
    }
}

#[cfg(test)]
mod tests;
