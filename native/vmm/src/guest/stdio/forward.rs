// SPDX-License-Identifier: Apache-2.0
use std::io;

use lightvm_devices::ConnectionId;

use super::super::link::GuestLink;
use super::client::Client;
use super::output::Flow;
use crate::poller::Token;

/// A forwarded connection: a client and a server in the pod, each direction with its own end.
#[derive(Debug)]
pub(super) struct Forward {
    /// `None` once both directions are over.
    client: Option<Client>,
    /// The guest sends nothing more.
    guest_ended: bool,
    to_client_over: bool,
    to_guest_over: bool,
    /// The client has closed its socket, or it failed, before the guest had ended.
    broken_off: bool,
}

impl Forward {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client: Some(client),
            guest_ended: false,
            to_client_over: false,
            to_guest_over: false,
            broken_off: false,
        }
    }

    pub(super) fn has_client(&self, token: Token) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.token() == token)
    }

    /// The guest sends nothing more.
    pub(super) fn end(&mut self) {
        self.guest_ended = true;
    }

    /// The client's socket is closed both ways, by it alone or by both.
    pub(super) fn hung_up(&mut self) {
        if let Some(client) = &mut self.client {
            self.broken_off |= !self.to_client_over || client.unwatch().is_err();
        }
    }

    /// Moves what can be moved, both ways.
    pub(super) fn pump(&mut self, id: ConnectionId, guest: &mut impl GuestLink) -> Flow {
        let moved = self.move_bytes(id, guest);
        if self.broken_off || moved.is_err() {
            return Flow::BrokenOff;
        }
        if self.to_client_over && self.to_guest_over {
            self.client = None;
        }
        Flow::Goes
    }

    fn move_bytes(&mut self, id: ConnectionId, guest: &mut impl GuestLink) -> io::Result<()> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        if !self.to_client_over {
            let bytes = guest.received(id);
            let available = bytes.len();
            let sent = client.send(bytes)?;
            guest.consume(id, sent);
            if self.guest_ended && sent == available {
                client.finish()?;
                self.to_client_over = true;
            }
        }
        if !self.to_guest_over && client.feed(id, guest)? {
            guest.shutdown(id);
            self.to_guest_over = true;
        }
        Ok(())
    }
}
