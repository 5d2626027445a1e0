// SPDX-License-Identifier: Apache-2.0
//! Which processes a new process sees: those of its pid namespace.

use lightvm_protocol::agent::{Isolation, isolation::ProcessView};
use rustix::process::Pid;

use crate::agent::Agent;
use crate::error::CallError;
use crate::process::ProcessKey;

impl Agent {
    /// Whose pid namespace a new container shares; none: it gets its own.
    pub(crate) fn neighbour(&mut self, isolation: &Isolation) -> Result<Option<Pid>, CallError> {
        match isolation.process_view() {
            ProcessView::Own => Ok(None),
            ProcessView::Pod => {
                let init = match self.pod_init {
                    Some(init) => init,
                    None => self.launcher.start_pod_init()?,
                };
                self.pod_init = Some(init);
                Ok(Some(init))
            }
            ProcessView::Target => self.first_process(&isolation.process_target).map(Some),
        }
    }

    /// The first process of a container that runs.
    pub(crate) fn first_process(&self, container_id: &str) -> Result<Pid, CallError> {
        let first = ProcessKey {
            container_id: container_id.to_owned(),
            exec_id: String::new(),
        };
        let running = self
            .processes
            .get(&first)
            .filter(|first| first.is_running());
        running.map(|first| first.pid).ok_or_else(|| {
            CallError::precondition(format!("the container {container_id} does not run"))
        })
    }
}
