// SPDX-License-Identifier: Apache-2.0
//! What VMM and file server have in common on their way out of dom0's rights: each takes over the
//! sockets that lightvmd has left for it, and gives up capabilities and system calls. What is left
//! to which of them, each says itself.

mod error;
mod inherited;
mod privileges;
mod seccomp;

pub use self::error::{During, JailError};
pub use self::inherited::inherited_sockets;
pub use self::privileges::{drop_privileges, limit_resources, make_final};
pub use self::seccomp::{Filter, Instruction, Violation, install_filter};
