// SPDX-License-Identifier: Apache-2.0
//! Root directory, user, groups, capabilities and limits.

use std::path::Path;

use lightvm_jail::{During, JailError};
use rustix::fs::{Gid, Uid};
use rustix::process::Resource;
use rustix::thread::CapabilitySet;

/// Descriptors that one VMM may hold: lightvmd's connections, files of devices and logs.
const MAX_DESCRIPTORS: u64 = 1024;

/// Makes the empty directory all that this process can name.
pub(super) fn change_root(directory: &Path) -> Result<(), JailError> {
    rustix::process::chroot(directory).during("change the root directory")?;
    // Without this the old working directory would be a way out.
    rustix::process::chdir("/").during("enter the root directory")
}

/// No core dump (it would hold the guest's memory), no child processes, no locked memory.
pub(super) fn set_limits() -> Result<(), JailError> {
    lightvm_jail::limit_resources(&[
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, MAX_DESCRIPTORS),
    ])
}

/// Becomes a user without groups, capabilities, or a way to get any. The order matters: each step
/// needs a capability that a later one takes away.
pub(super) fn become_nobody(uid: u32, gid: u32) -> Result<(), JailError> {
    lightvm_jail::drop_privileges(CapabilitySet::empty())?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).during("change the group")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during("change the user")?;
    lightvm_jail::make_final(CapabilitySet::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The value of a field of this thread's /proc/…/status, white space apart.
    fn status(field: &str) -> String {
        let text = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn nothing_of_root_is_left() {
        if !rustix::process::geteuid().is_root() {
            // Only root can change its user; the build root runs its tests as root.
            return;
        }
        // Credentials belong to a thread.
        let dropped = std::thread::spawn(|| {
            become_nobody(61_000, 61_001).unwrap();
            let fields = [
                "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Uid", "Gid", "Groups",
            ];
            (fields.map(status), status("NoNewPrivs"))
        });
        let (
            [
                inheritable,
                permitted,
                effective,
                bounding,
                ambient,
                uid,
                gid,
                groups,
            ],
            no_new,
        ) = dropped.join().unwrap();
        for set in [inheritable, permitted, effective, bounding, ambient] {
            assert_eq!(set, "0000000000000000");
        }
        assert_eq!(uid, "61000 61000 61000 61000");
        assert_eq!(gid, "61001 61001 61001 61001");
        assert_eq!(groups, "");
        assert_eq!(no_new, "1");
    }
}
