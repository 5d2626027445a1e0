// SPDX-License-Identifier: Apache-2.0
//! The file system that is left:
//!
//! ```text
//!   /               tmpfs, read-only, empty but for mount points
//!   /volumes        tmpfs, read-only; lightvmd comes into this namespace to mount volumes upon it
//!   /proc/self/fd   this process's own descriptors: how a file is opened that is held by O_PATH
//! ```
//!
//! The library wants `/proc/self/mountinfo` too, and reads it only for a feature that is off: it is
//! an empty file.
//!
//! Volumes are mounted here and nowhere else: the node's own namespace never sees these mounts, and
//! they end with this process.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use lightvm_jail::{During, JailError};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};

use super::VOLUMES;

const OWN_DESCRIPTORS: &str = "/proc/self/fd";
const MOUNTS: &str = "/proc/self/mountinfo";
/// A directory that every host has, and that is not needed any more once it is covered.
const COVERED: &str = "/proc";

/// Makes an empty directory for volumes all that this process can name.
pub(super) fn change_root() -> Result<(), JailError> {
    let own = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(own).during("make namespaces")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).during("make mounts private")?;
    // Of all /proc, this one directory: its parent is out of reach from it.
    let descriptors = take_along(OWN_DESCRIPTORS)?;
    mount_tmpfs(COVERED, c"size=64k,nr_inodes=64,mode=755")?;
    std::env::set_current_dir(COVERED).during("enter the new root")?;
    let (volumes, proc) = (below(VOLUMES), below(OWN_DESCRIPTORS));
    for point in [volumes, proc] {
        fs::create_dir_all(point).during("make a mount point")?;
    }
    fs::write(below(MOUNTS), "").during("make an empty list of mounts")?;
    mount_tmpfs(volumes, c"size=1m,nr_inodes=64k,mode=755")?;
    let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&descriptors, "", CWD, proc, from).during("mount the own descriptors")?;
    for point in [volumes, "."] {
        let flags = MountFlags::BIND | MountFlags::RDONLY | FLAGS;
        mount_remount(point, flags, c"").during("make the new root read-only")?;
    }
    // The old root is stacked upon the new one, from where it is taken away.
    rustix::process::pivot_root(".", ".").during("change the root")?;
    unmount(".", UnmountFlags::DETACH).during("leave the old root")?;
    std::env::set_current_dir("/").during("enter the new root")
}

const FLAGS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

fn mount_tmpfs(path: &str, options: &std::ffi::CStr) -> Result<(), JailError> {
    mount("tmpfs", path, "tmpfs", FLAGS, options).during("mount a new root")
}

/// The path relative to the root, while that is not the root yet.
fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn take_along(path: &str) -> Result<OwnedFd, JailError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, Path::new(path), flags).during("take a directory along")
}
