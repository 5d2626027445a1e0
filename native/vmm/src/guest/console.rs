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
    /// What the log has not taken. While there is something, the ring is left alone, and the guest
    /// waits for room in it.
    waiting: Vec<u8>,
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
            waiting: Vec::new(),
        });
        Self {
            ring,
            boot_log,
            output,
        }
    }

    /// Writes down what the guest has printed; true when the guest must be rung.
    pub(super) fn drain(&mut self, logs: &mut ContainerLogs, report: &mut Report) -> bool {
        let Some(output) = &mut self.output else {
            let mut bytes = Vec::new();
            let drained = drain(&mut self.ring, &mut bytes, report);
            if let Err(error) = self.boot_log.append(&bytes) {
                report.line(format_args!("cannot write the boot log: {error}"));
            }
            return drained;
        };
        if !output.pass_on(logs, report) {
            return false;
        }
        let drained = drain(&mut self.ring, &mut output.waiting, report);
        output.pass_on(logs, report);
        drained
    }

    /// The guest is gone: writes down the line that it has not ended.
    pub(super) fn finish(&mut self, logs: &mut ContainerLogs, report: &mut Report) {
        if let Some(Output {
            container_id,
            lines,
            ..
        }) = &mut self.output
        {
            logs.finish(container_id, lines, report);
        }
    }
}

/// Takes what the guest has printed; true when the guest must be rung.
fn drain(ring: &mut ConsoleRing, sink: &mut Vec<u8>, report: &mut Report) -> bool {
    let drained = ring.drain(sink);
    if drained.lost {
        report.line(format_args!(
            "the guest's index of its console makes no sense: what it has printed is lost"
        ));
    }
    drained.ring
}

impl Output {
    /// True when nothing waits any more.
    fn pass_on(&mut self, logs: &mut ContainerLogs, report: &mut Report) -> bool {
        let Self {
            container_id,
            lines,
            waiting,
        } = self;
        let used = logs.write(container_id, lines, waiting, report);
        waiting.drain(..used);
        waiting.is_empty()
    }
}
