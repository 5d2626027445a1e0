// SPDX-License-Identifier: Apache-2.0
use std::io;

use lightvm_devices::ConnectionId;

use super::super::link::GuestLink;
use super::client::Client;
use crate::logs::{ContainerLogs, Lines};
use crate::poller::Token;
use crate::report::Report;

/// Where the bytes of one connection go: into a container's log, to clients, or both. Each taker
/// has its own place in what the guest has sent; the guest's credit follows the slowest, so nothing
/// is kept here and the slowest slows the guest down.
#[derive(Debug)]
pub(super) struct Output {
    takers: Vec<Taker>,
    /// Nobody but one client is meant to read it.
    is_private: bool,
    /// The guest sends nothing more.
    ended: bool,
}

#[derive(Debug)]
struct Taker {
    sink: Sink,
    /// Bytes that it has of those that the guest has sent and that were not consumed.
    taken: usize,
}

#[derive(Debug)]
enum Sink {
    Log { container_id: String, lines: Lines },
    Client(Client),
}

/// What is to become of a connection of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It goes on, or ends by itself.
    Goes,
    /// The client that it was for is gone: the guest must hear of that.
    BrokenOff,
}

impl Output {
    /// Into a container's log.
    pub(super) fn log(container_id: String, lines: Lines) -> Self {
        Self {
            takers: vec![Taker::new(Sink::Log {
                container_id,
                lines,
            })],
            is_private: false,
            ended: false,
        }
    }

    /// To the one client that waits for it; without one, the bytes are dropped.
    pub(super) fn client(client: Option<Client>) -> Self {
        Self {
            is_private: client.is_some(),
            takers: client
                .map(Sink::Client)
                .map(Taker::new)
                .into_iter()
                .collect(),
            ended: false,
        }
    }

    /// One more client, which gets what the log gets from now on.
    pub(super) fn attach(&mut self, mut client: Client) -> io::Result<()> {
        client.wait()?;
        let taken = self.takers.iter().map(|taker| taker.taken).max();
        if let Some(taken) = taken {
            let sink = Sink::Client(client);
            self.takers.push(Taker { sink, taken });
        }
        Ok(())
    }

    /// The guest sends nothing more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn has_client(&self, token: Token) -> bool {
        self.takers.iter().any(|taker| taker.is_client(token))
    }

    /// Whether it goes into a log, which may have kept it waiting.
    pub(super) fn is_logged(&self) -> bool {
        let is_log = |taker: &Taker| matches!(taker.sink, Sink::Log { .. });
        self.takers.iter().any(is_log)
    }

    pub(super) fn drop_client(&mut self, token: Token) {
        self.takers.retain(|taker| !taker.is_client(token));
    }

    /// Passes on what the guest has sent, as far as everybody takes it.
    pub(super) fn drain(
        &mut self,
        id: ConnectionId,
        guest: &mut impl GuestLink,
        logs: &mut ContainerLogs,
        report: &mut Report,
    ) -> Flow {
        let bytes = guest.received(id);
        let available = bytes.len();
        self.takers
            .retain_mut(|taker| taker.take(bytes, logs, report));
        if self.is_private && self.takers.is_empty() {
            return Flow::BrokenOff;
        }
        let slowest = self.takers.iter().map(|taker| taker.taken).min();
        let consumed = slowest.unwrap_or(available);
        for taker in &mut self.takers {
            taker.taken -= consumed;
        }
        guest.consume(id, consumed);
        if self.ended && consumed == available {
            self.finish_log(logs, report);
            // The other direction was never used: with both shut down the connection goes.
            guest.shutdown(id);
            *self = Self::client(None);
        }
        Flow::Goes
    }

    /// Writes what a log has of a line without an end.
    pub(super) fn finish_log(&mut self, logs: &mut ContainerLogs, report: &mut Report) {
        for taker in &mut self.takers {
            if let Sink::Log {
                container_id,
                lines,
            } = &mut taker.sink
            {
                logs.finish(container_id, lines, report);
            }
        }
    }
}

impl Taker {
    fn new(sink: Sink) -> Self {
        Self { sink, taken: 0 }
    }

    fn is_client(&self, token: Token) -> bool {
        matches!(&self.sink, Sink::Client(client) if client.token() == token)
    }

    /// Takes what it has not got yet; false when it is gone.
    fn take(&mut self, bytes: &[u8], logs: &mut ContainerLogs, report: &mut Report) -> bool {
        let rest = bytes.get(self.taken..).unwrap_or_default();
        match &mut self.sink {
            Sink::Log {
                container_id,
                lines,
            } => {
                self.taken += logs.write(container_id, lines, rest, report);
                true
            }
            Sink::Client(client) => match client.send(rest) {
                Ok(count) => {
                    self.taken += count;
                    true
                }
                Err(_) => false,
            },
        }
    }
}
