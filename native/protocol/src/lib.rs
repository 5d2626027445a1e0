// SPDX-License-Identifier: Apache-2.0
//! What lightvmd, the VMM and the agent in the guest say to each other, as Rust types.
//!
//! The schemas in `cri-proto/lightvm` are the documentation of every message and of the order in
//! which they flow. [`framing`] cuts a byte stream into messages.

pub mod framing;

mod schemas {
    #![allow(
        missing_docs,
        reason = "the schemas document what the generator gives no place to"
    )]
    #![allow(clippy::all, unreachable_pub, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/schemas.rs"));
}

/// `lightvm.agent.v1`: between VMM and agent, over vsock.
pub use schemas::lightvm::agent::v1 as agent;

/// `lightvm.vmm.v1`: between lightvmd and VMM, over a UNIX socket.
pub use schemas::lightvm::vmm::v1 as vmm;

/// The runtime of the generated types.
pub use prost;

/// `Hello.protocol_version` of this build.
pub const AGENT_PROTOCOL_VERSION: u32 = 1;

/// vsock port on the host of the agent's control connection.
pub const AGENT_CONTROL_PORT: u32 = 1024;

/// vsock port on the host of the connections that carry a process's stdio.
pub const AGENT_STREAM_PORT: u32 = 1025;

/// The vsock address of the host.
pub const HOST_CID: u32 = 2;

/// The address of a guest on its VMM's vsock device.
pub const GUEST_CID: u32 = 3;
