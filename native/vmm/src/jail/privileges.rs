// SPDX-License-Identifier: Apache-2.0
//! Root directory, user, groups, capabilities and limits.

use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::JailError;

/// Descriptors that one VMM may hold: lightvmd's connections, files of devices and logs.
const MAX_DESCRIPTORS: u64 = 1024;

/// Makes the empty directory all that this process can name.
pub(super) fn change_root(directory: &Path) -> Result<(), JailError> {
    rustix::process::chroot(directory)
        .map_err(|error| JailError::new("change the root directory", error))?;
    // Without this the old working directory would be a way out.
    rustix::process::chdir("/").map_err(|error| JailError::new("enter the root directory", error))
}

/// No core dump (it would hold the guest's memory), no child processes, no locked memory.
pub(super) fn set_limits() -> Result<(), JailError> {
    let limits = [
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, MAX_DESCRIPTORS),
    ];
    for (resource, limit) in limits {
        rustix::process::setrlimit(
            resource,
            Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            },
        )
        .map_err(|error| JailError::new("set the resource limits", error))?;
    }
    Ok(())
}

/// Becomes a user without groups, capabilities, or a way to get any. The order matters: each step
/// needs a capability that a later one takes away.
pub(super) fn become_nobody(uid: u32, gid: u32) -> Result<(), JailError> {
    drop_bounding_set()?;
    let failed = |step: &'static str| move |error: Errno| JailError::new(step, error);
    rustix::thread::clear_ambient_capability_set()
        .map_err(failed("clear the ambient capabilities"))?;
    rustix::thread::set_thread_groups(&[]).map_err(failed("drop the groups"))?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("change the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("change the user"))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, none).map_err(failed("drop the capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("set no_new_privs"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed("become undumpable"))
}

fn drop_bounding_set() -> Result<(), JailError> {
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // EINVAL: this kernel is older than the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(JailError::new("drop the bounding set", error)),
        }
    }
    Ok(())
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
