// SPDX-License-Identifier: Apache-2.0
//! In whose name a file gets another name.
//!
//! Where a mount maps ids (mount_setattr(2), MOUNT_ATTR_IDMAP), only users whom it knows may make names:
//! in a pod with a user namespace that is everybody but root of this process, who would get EOVERFLOW.
//! The library creates files in the name of their creator, but renames and links in its own.

use rustix::io;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::{HEADER, word};

const RENAME: u32 = 12;
const LINK: u32 = 13;
const RENAME2: u32 = 45;

/// Ids in struct fuse_in_header, and the one that stands for nobody.
const UID: usize = 24;
const GID: usize = 28;
const NOBODY: u32 = u32::MAX;

/// While it lives, this thread has the effective ids of a message's sender. It keeps its capabilities
/// then: what the sender may do is decided by the guest.
pub(super) struct Caller;

impl Caller {
    /// Nothing when the message makes no name, or root sent it.
    pub(super) fn assume(message: &[u8]) -> io::Result<Option<Self>> {
        if message.len() < HEADER || ![RENAME, LINK, RENAME2].contains(&word(message, 4)) {
            return Ok(None);
        }
        let (uid, gid) = (word(message, UID), word(message, GID));
        if (uid, gid) == (0, 0) || uid == NOBODY || gid == NOBODY {
            return Ok(None);
        }
        set_thread_res_gid(None, Gid::from_raw(gid), None)?;
        let caller = Self;
        set_thread_res_uid(None, Uid::from_raw(uid), None)?;
        Ok(Some(caller))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It was root when it began, so that it may be again.
        let user = set_thread_res_uid(None, Uid::ROOT, None);
        let group = set_thread_res_gid(None, Gid::ROOT, None);
        if user.and(group).is_err() {
            // Whatever it did next would be in a wrong name.
            std::process::abort();
        }
    }
}
