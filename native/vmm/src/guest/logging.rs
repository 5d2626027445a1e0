// SPDX-License-Identifier: Apache-2.0
//! What containers and consoles say, on its way into their logs.

use super::{Guest, Relay};

impl Guest {
    /// Writes what the guest has said until now to its log.
    pub(crate) fn drain_console(&mut self) {
        let Relay { logs, report, .. } = &mut self.relay;
        if self.console.drain(logs, report) {
            let port = self.domain.doorbells().console.local_port;
            if let Err(error) = self.domain.event_channels().notify(port) {
                report.line(format_args!("cannot ring the console: {error}"));
            }
        }
    }

    /// Logs take what has waited for them.
    pub(super) fn logs_ready(&mut self) {
        self.drain_console();
        self.with_vsock(|relay, vsock| {
            relay
                .stdio
                .logs_ready(vsock, &mut relay.logs, &mut relay.report);
        });
        self.settle();
    }

    /// Writes what can still be written of what containers have said: nothing more will come of them.
    pub(crate) fn end_output(&mut self) {
        let Relay { logs, report, .. } = &mut self.relay;
        logs.retry_all(report);
        self.drain_console();
        let Relay { logs, report, .. } = &mut self.relay;
        self.console.finish(logs, report);
        self.with_vsock(|relay, vsock| {
            relay
                .stdio
                .end_all(vsock, &mut relay.logs, &mut relay.report);
        });
        let Relay { logs, report, .. } = &mut self.relay;
        logs.give_up(report);
    }
}
