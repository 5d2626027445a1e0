// SPDX-License-Identifier: Apache-2.0
//! One mount, as the host describes it.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::Path;

use lightvm_protocol::agent::Mount;
use rustix::fs::{CWD, StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind_recursive, mount_remount,
    move_mount, open_tree,
};

use crate::error::{CallError, During};

/// Options that are flags of mount(2), and whether they are set or cleared.
const FLAGS: [(&str, MountFlags, bool); 12] = [
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("suid", MountFlags::NOSUID, false),
    ("nodev", MountFlags::NODEV, true),
    ("dev", MountFlags::NODEV, false),
    ("noexec", MountFlags::NOEXEC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("noatime", MountFlags::NOATIME, true),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("relatime", MountFlags::RELATIME, true),
    ("strictatime", MountFlags::STRICTATIME, true),
];

/// Options that say how a bind mount is made or propagates: ours are always recursive and private.
const BIND_OPTIONS: [&str; 8] = [
    "bind", "rbind", "private", "rprivate", "slave", "rslave", "defaults", "",
];

/// A mount that is written here instead of coming from the host.
pub(super) fn entry(kind: &str, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        r#type: kind.to_owned(),
        source: kind.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        block_device_id: 0,
    }
}

/// Takes the source of a bind mount along to where its path no longer leads.
pub(super) fn detach(source: &Path) -> Result<OwnedFd, CallError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags).during(format_args!("take {} along", source.display()))
}

/// Makes the mount; `tree` is the detached source of a bind mount.
pub(super) fn make(wanted: &Mount, tree: Option<&OwnedFd>) -> Result<(), CallError> {
    let destination = Path::new(&wanted.destination);
    let what = format!("mount {} at {}", wanted.r#type, destination.display());
    let (flags, data) = parse(&wanted.options);
    match tree {
        Some(tree) => {
            make_mount_point(destination, rustix::fs::fstat(tree).is_ok_and(is_directory))
                .during(&what)?;
            let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            let to = MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
            move_mount(tree, "", CWD, destination, from | to).during(&what)?;
            if flags.is_empty() {
                return Ok(());
            }
            mount_remount(destination, MountFlags::BIND | flags, c"").during(&what)
        }
        None => {
            make_mount_point(destination, true).during(&what)?;
            let source = if wanted.source.is_empty() {
                &wanted.r#type
            } else {
                &wanted.source
            };
            let data = CString::new(data).during(&what)?;
            mount(source, destination, &wanted.r#type, flags, data.as_c_str()).during(&what)
        }
    }
}

fn is_directory(stat: rustix::fs::Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
}

fn make_mount_point(path: &Path, directory: bool) -> std::io::Result<()> {
    if directory {
        return fs::create_dir_all(path);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if path.exists() {
        return Ok(());
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map(drop)
}

/// Flags of mount(2), and the rest for the file system.
fn parse(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options.iter().map(String::as_str) {
        match FLAGS.iter().find(|(name, ..)| *name == option) {
            Some((_, flag, value)) => flags.set(*flag, *value),
            None if BIND_OPTIONS.contains(&option) => {}
            None => data.push(option),
        }
    }
    (flags, data.join(","))
}

/// Hides what is at `path`, if anything is.
pub(super) fn mask(path: &str) -> Result<(), CallError> {
    let what = format!("mask {path}");
    match fs::metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if found.is_dir() => {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            mount(
                "tmpfs",
                path,
                "tmpfs",
                flags | MountFlags::NOEXEC,
                c"size=0k",
            )
            .during(what)
        }
        Ok(_) => mount_bind_recursive("/dev/null", path).during(what),
    }
}

/// Forbids writes below `path`, if anything is there.
pub(super) fn make_read_only(path: &str) -> Result<(), CallError> {
    let what = format!("make {path} read-only");
    if fs::metadata(path).is_err() {
        return Ok(());
    }
    mount_bind_recursive(path, path).during(&what)?;
    seal(path)
}

/// Makes the mount at `path` read-only, with its other flags as they are.
pub(super) fn seal(path: &str) -> Result<(), CallError> {
    let what = format!("make {path} read-only");
    let present = statvfs(path).during(&what)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    flags.set(
        MountFlags::NOSUID,
        present.contains(StatVfsMountFlags::NOSUID),
    );
    flags.set(
        MountFlags::NODEV,
        present.contains(StatVfsMountFlags::NODEV),
    );
    flags.set(
        MountFlags::NOEXEC,
        present.contains(StatVfsMountFlags::NOEXEC),
    );
    mount_remount(path, flags, c"").during(&what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_and_data() {
        let options = ["nosuid", "ro", "size=1m", "mode=755", "rbind", "rw"].map(str::to_owned);
        assert_eq!(
            parse(&options),
            (MountFlags::NOSUID, "size=1m,mode=755".to_owned())
        );
        assert_eq!(parse(&[]), (MountFlags::empty(), String::new()));
    }
}
