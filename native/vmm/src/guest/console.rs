// SPDX-License-Identifier: Apache-2.0
//! Where the guest's console goes: to the boot log, or, a unikernel's, to its container's log.

use lightvm_devices::ConsoleRing;

use super::BootLog;
use crate::logs::{ContainerLogs, Lines};
use crate::report::Report;

/// A unikernel that prints is one container; this is its standard output.
#[derive(Debug)]
struct Output {
    container_id: String,
    lines: Lines,
}

/// The console of one guest.
pub(crate) struct Console {
    ring: ConsoleRing,
    boot_log: BootLog,
    output: Option<Output>,
}

impl Console {
    /// The console behind `ring`, as a container's standard output unless `container_id` is empty.
    pub(crate) fn new(ring: ConsoleRing, boot_log: BootLog, container_id: &str) -> Self {
        let output = (!container_id.is_empty()).then(|| Output {
            container_id: container_id.into(),
            lines: Lines::new("stdout", false),
        });
        Self {
            ring,
            boot_log,
            output,
        }
    }

    /// Writes down what the guest has printed; true when the guest must be rung.
    pub(super) fn drain(&mut self, logs: &mut ContainerLogs, report: &mut Report) -> bool {
        let mut bytes = Vec::new();
        let drained = self.ring.drain(&mut bytes);
        let written = match &mut self.output {
            Some(Output {
                container_id,
                lines,
            }) => logs.write(container_id, lines, &bytes),
            None => self.boot_log.append(&bytes),
        };
        if let Err(error) = written {
            report.line(format_args!("cannot write the console's log: {error}"));
        }
        drained.ring
    }

    /// The guest is gone: writes down the line that it has not ended.
    pub(super) fn finish(&mut self, logs: &mut ContainerLogs, report: &mut Report) {
        if let Some(Output {
            container_id,
            lines,
        }) = &mut self.output
        {
            if let Err(error) = logs.finish(container_id, lines) {
                report.line(format_args!("cannot write the console's log: {error}"));
            }
        }
    }
}
