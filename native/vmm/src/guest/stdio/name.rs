// SPDX-License-Identifier: Apache-2.0
use lightvm_protocol::agent::{Stream, StreamHello};

/// Names one stream of the guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamName {
    /// One direction of one process's stdio.
    Stdio {
        container_id: String,
        /// Empty: the container's first process.
        exec_id: String,
        direction: Direction,
    },
    /// Both directions of a forwarded connection.
    Forward(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Stdin,
    Stdout,
    Stderr,
}

impl Direction {
    /// As the CRI's log format writes it.
    pub(super) fn log_name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl StreamName {
    /// `None` when the hello names no stream.
    pub(crate) fn new(hello: StreamHello) -> Option<Self> {
        let direction = match hello.stream() {
            Stream::Stdin => Direction::Stdin,
            Stream::Stdout => Direction::Stdout,
            Stream::Stderr => Direction::Stderr,
            Stream::Unspecified if hello.forward_id.is_empty() => return None,
            Stream::Unspecified => return Some(Self::Forward(hello.forward_id)),
        };
        let StreamHello {
            container_id,
            exec_id,
            ..
        } = hello;
        Some(Self::Stdio {
            container_id,
            exec_id,
            direction,
        })
    }

    /// Whether it belongs to a container's first process: it is there before its clients.
    pub(crate) fn is_of_container(&self) -> bool {
        matches!(self, Self::Stdio { exec_id, .. } if exec_id.is_empty())
    }
}
