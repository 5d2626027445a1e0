// SPDX-License-Identifier: Apache-2.0
//! The file server of one pod's volumes.
//!
//! lightvmd mounts each volume below one directory of this process's own mount namespace, the guest
//! mounts that directory as a virtio-fs file system, and this process stands between: it gets FUSE
//! messages from the VMM and does what they ask on files. It sees no guest memory; the VMM sees no
//! files.
//!
//! - [`start`]: what it is started with
//! - [`jail`]: how it loses everything but the volumes
//! - [`volumes`]: what the guest can see of them
//! - [`serve`]: one thread a channel, one message after the other

pub mod jail;
pub mod serve;
pub mod start;
pub mod volumes;
