// SPDX-License-Identifier: Apache-2.0
//! Which containers there are and how those that ended did: bounded by what lightvmd has created,
//! whatever the guest says.

use std::collections::BTreeMap;

use lightvm_protocol::agent::ProcessExited;

/// What an exit that the agent reports is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The first exit of a container: to be kept, written down and passed on.
    Container,
    /// An exec in a container: to be passed on.
    Exec,
    /// Of no container of ours, or told before: dropped.
    Nothing,
}

/// Containers by id, with their exit once they have one.
#[derive(Debug, Default)]
pub(crate) struct ContainerExits {
    containers: BTreeMap<String, Option<ProcessExited>>,
}

impl ContainerExits {
    /// lightvmd creates a container.
    pub(crate) fn created(&mut self, container_id: &str) {
        self.containers.entry(container_id.into()).or_default();
    }

    /// The container is gone from the guest.
    pub(crate) fn removed(&mut self, container_id: &str) {
        self.containers.remove(container_id);
    }

    /// The agent says that a process has ended.
    pub(crate) fn tell(&mut self, exited: &ProcessExited) -> Told {
        match self.containers.get_mut(&exited.container_id) {
            Some(_) if !exited.exec_id.is_empty() => Told::Exec,
            Some(exit @ None) => {
                *exit = Some(exited.clone());
                Told::Container
            }
            Some(Some(_)) | None => Told::Nothing,
        }
    }

    /// The exits of containers, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<ProcessExited> {
        self.containers.values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(container_id: &str, exec_id: &str, exit_code: i32) -> ProcessExited {
        let (container_id, exec_id) = (container_id.into(), exec_id.into());
        ProcessExited {
            container_id,
            exec_id,
            exit_code,
            ..ProcessExited::default()
        }
    }

    #[test]
    fn the_first_exit_of_a_container_counts() {
        let mut exits = ContainerExits::default();
        exits.created("a");
        exits.created("b");
        assert_eq!(exits.tell(&exited("b", "", 1)), Told::Container);
        exits.created("b");
        assert_eq!(exits.tell(&exited("b", "", 2)), Told::Nothing);
        assert_eq!(exits.all(), [exited("b", "", 1)]);
        exits.removed("b");
        assert_eq!(exits.all(), []);
    }

    #[test]
    fn a_guest_cannot_invent_containers() {
        let mut exits = ContainerExits::default();
        exits.created("a");
        assert_eq!(exits.tell(&exited("x", "", 1)), Told::Nothing);
        assert_eq!(exits.tell(&exited("x", "e", 1)), Told::Nothing);
        assert_eq!(exits.tell(&exited("a", "e", 1)), Told::Exec);
        assert_eq!(exits.all(), []);
    }
}
