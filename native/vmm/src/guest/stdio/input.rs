// SPDX-License-Identifier: Apache-2.0
use lightvm_devices::ConnectionId;

use super::super::link::GuestLink;
use super::client::Client;
use crate::poller::Token;

/// Who gives a process its input: one client for an exec, any number for a container.
#[derive(Debug)]
pub(super) struct Input {
    clients: Vec<Client>,
    /// No input comes any more.
    over: bool,
}

impl Input {
    /// Nobody gives any input yet.
    pub(super) fn of_container() -> Self {
        Self {
            clients: Vec::new(),
            over: false,
        }
    }

    /// The client that waits for the process; without one, there is no input.
    pub(super) fn of_exec(
        client: Option<Client>,
        id: ConnectionId,
        guest: &mut impl GuestLink,
    ) -> Self {
        let mut input = Self::of_container();
        match client {
            Some(client) => input.clients.push(client),
            None => input.end(id, guest),
        }
        input
    }

    /// One more client, unless its input comes too late.
    pub(super) fn attach(&mut self, client: Client) {
        if !self.over {
            self.clients.push(client);
        }
    }

    pub(super) fn has_client(&self, token: Token) -> bool {
        self.clients.iter().any(|client| client.token() == token)
    }

    /// A client has closed its socket; what it has sent is still to be moved.
    pub(super) fn hung_up(&mut self, token: Token) {
        let client = self
            .clients
            .iter_mut()
            .find(|client| client.token() == token);
        // A socket that can't be unwatched fails when it is read, too.
        drop(client.map(Client::unwatch));
    }

    /// Moves what the clients have sent to the guest, as far as that takes it.
    pub(super) fn pump(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        let mut end = false;
        self.clients.retain_mut(|client| {
            // An error: its socket failed, or the guest takes nothing more.
            let goes_on = matches!(client.feed(id, guest), Ok(false));
            end |= !goes_on && client.ends_stdin();
            goes_on
        });
        if end {
            self.end(id, guest);
        }
    }

    fn end(&mut self, id: ConnectionId, guest: &mut impl GuestLink) {
        self.over = true;
        self.clients.clear();
        guest.shutdown(id);
    }
}
