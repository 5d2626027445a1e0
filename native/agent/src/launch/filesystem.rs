// SPDX-License-Identifier: Apache-2.0
//! The file system that a new container sees.
//!
//! pivot_root comes before every mount: from then on each path, hostile symlinks included, resolves
//! inside the container.

use std::os::fd::OwnedFd;
use std::path::Path;

use lightvm_protocol::agent::Mount;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::mounts::{self, entry};
use super::{NewContainer, devices};
use crate::error::{CallError, During};
use crate::sandbox::{POD_FILES, SHARED_MEMORY};

/// Leaves the guest's mounts for the container's own.
pub(super) fn enter(container: &NewContainer) -> Result<(), CallError> {
    // The network namespace is the pod's, and the pod is the guest.
    let mut own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWCGROUP;
    own.set(CloneFlags::CLONE_NEWIPC, container.own_ipc);
    unshare(own).during("make namespaces")?;
    if !container.hostname.is_empty() {
        rustix::system::sethostname(container.hostname.as_bytes()).during("set the host name")?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).during("make mounts private")?;
    let wanted = with_trees(all_mounts(container))?;
    change_root(&container.root)?;
    for (mount, tree) in &wanted {
        mounts::make(mount, tree.as_ref())?;
        if mount.destination == "/dev" && mount.r#type == "tmpfs" {
            devices::populate()?;
        }
    }
    for path in &container.masked_paths {
        mounts::mask(path)?;
    }
    for path in &container.readonly_paths {
        mounts::make_read_only(path)?;
    }
    if container.read_only {
        mounts::seal("/")
    } else {
        Ok(())
    }
}

/// What every container gets unless the host puts something else there.
fn usual_mounts(privileged: bool, own_ipc: bool) -> Vec<Mount> {
    let kernel = |options: &[&'static str]| {
        let mut all = vec!["nosuid", "noexec", "nodev"];
        all.extend(options);
        all
    };
    let settings: &[&str] = if privileged { &[] } else { &["ro"] };
    let mut usual = vec![
        entry("proc", "/proc", &kernel(&[])),
        entry(
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        entry(
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        entry("mqueue", "/dev/mqueue", &kernel(&[])),
        entry("sysfs", "/sys", &kernel(settings)),
        entry("cgroup2", "/sys/fs/cgroup", &kernel(settings)),
    ];
    usual.push(if own_ipc {
        entry("tmpfs", "/dev/shm", &kernel(&["mode=1777", "size=65536k"]))
    } else {
        bind(SHARED_MEMORY, "/dev/shm")
    });
    usual
}

fn bind(source: &str, destination: &str) -> Mount {
    Mount {
        source: source.to_owned(),
        ..entry("bind", destination, &[])
    }
}

/// The usual mounts, the pod's files, and the host's wishes, which win.
fn all_mounts(container: &NewContainer) -> Vec<Mount> {
    let files = POD_FILES
        .iter()
        .filter(|(source, _)| Path::new(source).exists())
        .map(|(source, destination)| bind(source, destination));
    let mut all = usual_mounts(container.privileged, container.own_ipc);
    all.extend(files);
    all.retain(|usual| {
        container
            .mounts
            .iter()
            .all(|wanted| wanted.destination != usual.destination)
    });
    all.extend(container.mounts.iter().cloned());
    all
}

/// Pairs each bind mount with its source, before that is out of reach.
fn with_trees(mounts: Vec<Mount>) -> Result<Vec<(Mount, Option<OwnedFd>)>, CallError> {
    let pair = |mount: Mount| {
        if !Path::new(&mount.destination).is_absolute() {
            let message = format!("the mount destination {} is relative", mount.destination);
            return Err(CallError::invalid(message));
        }
        let tree = match mount.r#type.as_str() {
            "bind" => Some(mounts::detach(Path::new(&mount.source))?),
            _ => None,
        };
        Ok((mount, tree))
    };
    mounts.into_iter().map(pair).collect()
}

/// Makes the mount at `root` the root; the old one is gone afterwards.
fn change_root(root: &str) -> Result<(), CallError> {
    let what = "change the root";
    std::env::set_current_dir(root).during(what)?;
    // The old root is stacked upon the new one, from where it is taken away.
    rustix::process::pivot_root(".", ".").during(what)?;
    unmount(".", UnmountFlags::DETACH).during(what)?;
    std::env::set_current_dir("/").during(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_replaces_usual_mounts() {
        let own = entry("tmpfs", "/dev/shm", &["size=1m"]);
        let container = NewContainer {
            mounts: vec![own.clone()],
            ..NewContainer::default()
        };
        let all = all_mounts(&container);
        let at: Vec<_> = all
            .iter()
            .filter(|mount| mount.destination == "/dev/shm")
            .collect();
        assert_eq!(at, [&own]);
        assert!(all.iter().any(|mount| mount.destination == "/proc"));
    }
}
