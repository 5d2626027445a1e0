// SPDX-License-Identifier: Apache-2.0
//! The end of the guest: SIGTERM, then SIGKILL, then nothing.

use std::io;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::container::Phase;

/// What processes get between SIGTERM and SIGKILL. Whoever wants more stops them beforehand.
const GRACE: Duration = Duration::from_secs(2);

/// What the kernel and the host get to finish after SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How far the end has come.
#[derive(Clone, Copy, Debug)]
pub enum Shutdown {
    /// SIGTERM has been sent; SIGKILL follows at this time.
    Terminating(Instant),
    /// SIGKILL has been sent; the guest goes at this time in any case.
    Killing(Instant),
}

impl Shutdown {
    /// SIGTERM has just been sent.
    pub fn begin() -> Self {
        Self::Terminating(Instant::now() + GRACE)
    }

    /// When the next step comes at the latest.
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Terminating(deadline) | Self::Killing(deadline) => *deadline,
        }
    }
}

impl Agent {
    /// Takes the next step when its time has come; true when the guest may go.
    pub(crate) fn continue_shutdown(&mut self) -> io::Result<bool> {
        let Some(shutdown) = self.shutdown else {
            return Ok(false);
        };
        let running = self
            .containers
            .values()
            .any(|it| it.phase == Phase::Started);
        if !running && self.processes.is_empty() {
            return Ok(true);
        }
        if Instant::now() < shutdown.deadline() {
            return Ok(false);
        }
        match shutdown {
            Shutdown::Killing(_) => Ok(true),
            Shutdown::Terminating(_) => {
                self.signal_every_container(nix::libc::SIGKILL.unsigned_abs());
                self.shutdown = Some(Shutdown::Killing(Instant::now() + LAST_WAIT));
                Ok(false)
            }
        }
    }
}
