// SPDX-License-Identifier: Apache-2.0
//! The little of rtnetlink(7) that a pod's network needs, on both sides of the VM's boundary: the
//! agent sets an interface up, the node's addon reads how a plugin has set one up, and joins two.
//!
//! A socket belongs to the network namespace of the thread that opened it. Calls are blocking; the
//! kernel answers before they return.

mod address;
mod link;
mod message;
mod prefix;
mod redirect;
mod route;
mod socket;

pub use link::Link;
pub use prefix::{ParsePrefixError, Prefix};
pub use route::Route;
pub use socket::Netlink;
