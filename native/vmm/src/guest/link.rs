// SPDX-License-Identifier: Apache-2.0
//! What the relay needs of the vsock device.

use lightvm_devices::{ConnectionId, SendError, Vsock};

/// Connections that the guest has opened. Tests put a guest of their own behind it.
pub(crate) trait GuestLink {
    /// Bytes that came and were not taken.
    fn received(&mut self, connection: ConnectionId) -> &[u8];
    /// Takes the first `count` bytes: the guest may send as many again.
    fn consume(&mut self, connection: ConnectionId, count: usize);
    /// Queues bytes and returns how many were taken; a `Writable` event follows a short count.
    fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<usize, SendError>;
    /// Sends nothing more, after what was queued.
    fn shutdown(&mut self, connection: ConnectionId);
    /// Ends the connection at once; no event follows.
    fn reset(&mut self, connection: ConnectionId);
}

impl GuestLink for Vsock {
    fn received(&mut self, connection: ConnectionId) -> &[u8] {
        Self::received(self, connection)
    }

    fn consume(&mut self, connection: ConnectionId, count: usize) {
        Self::consume(self, connection, count);
    }

    fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<usize, SendError> {
        Self::send(self, connection, bytes)
    }

    fn shutdown(&mut self, connection: ConnectionId) {
        Self::shutdown(self, connection);
    }

    fn reset(&mut self, connection: ConnectionId) {
        Self::reset_connection(self, connection);
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::collections::BTreeMap;

    use super::*;

    /// One connection, as the guest sees it.
    #[derive(Debug, Default)]
    pub(crate) struct Pipe {
        pub(crate) to_host: Vec<u8>,
        pub(crate) to_guest: Vec<u8>,
        pub(crate) room: Option<usize>,
        pub(crate) shut_down: bool,
        pub(crate) reset: bool,
    }

    /// A guest without a device; unlimited room unless a pipe says otherwise.
    #[derive(Debug, Default)]
    pub(crate) struct FakeLink(pub(crate) BTreeMap<u64, Pipe>);

    impl FakeLink {
        pub(crate) fn pipe(&mut self, connection: ConnectionId) -> &mut Pipe {
            self.0.entry(connection.0).or_default()
        }
    }

    impl GuestLink for FakeLink {
        fn received(&mut self, connection: ConnectionId) -> &[u8] {
            &self.pipe(connection).to_host
        }

        fn consume(&mut self, connection: ConnectionId, count: usize) {
            self.pipe(connection).to_host.drain(..count);
        }

        fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<usize, SendError> {
            let pipe = self.pipe(connection);
            if pipe.shut_down || pipe.reset {
                return Err(SendError::Shutdown);
            }
            let count = bytes.len().min(pipe.room.unwrap_or(usize::MAX));
            pipe.room = pipe.room.map(|room| room - count);
            pipe.to_guest.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn shutdown(&mut self, connection: ConnectionId) {
            self.pipe(connection).shut_down = true;
        }

        fn reset(&mut self, connection: ConnectionId) {
            self.pipe(connection).reset = true;
        }
    }
}
