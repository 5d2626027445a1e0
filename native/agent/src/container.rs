// SPDX-License-Identifier: Apache-2.0
//! Containers: their files, cgroup and identity, from CreateContainer to RemoveContainer.
//!
//! ```text
//!   create ── Created ── start ── Started ── its first process ends ── Ended ── remove
//! ```

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use lightvm_protocol::agent::{
    ContainerCreated, ContainerStats, CreateContainer, Isolation, Mount, Process as Description,
};
use rustix::fs::statvfs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::cgroup::Cgroup;
use crate::command;
use crate::devices::{self, Found};
use crate::error::{CallError, During};
use crate::image_volumes::{self, ImageVolumes};
use crate::images::Images;
use crate::launch::{Launch, NewContainer, Owner};
use crate::root::ContainerRoot;
use crate::user_namespace::{Ids, UserNamespace};
use crate::users::{self, Identity};

/// The image as the pod's user namespace shows it.
const MAPPED_IMAGE: &str = "mapped-image";

/// Where a container's devices have their nodes.
const DEVICES: &str = "devices";

/// Longest container id that the host may use.
const MAX_ID_BYTES: usize = 128;

/// What its first process has gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything is there but the process; it can be started or removed.
    Created,
    /// The process runs; more can be executed beside it.
    Started,
    /// The process has ended and all others with it; it can be removed.
    Ended,
}

/// What a container is made in.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Directory in which each container gets one.
    pub state: &'a Path,
    /// Directory in which each container gets a cgroup.
    pub cgroups: &'a Path,
    /// The pod's, if it has one of its own.
    pub user_namespace: Option<&'a UserNamespace>,
}

/// A container of this pod.
#[derive(Debug)]
pub struct Container {
    /// Set by whoever starts and reaps its process.
    pub phase: Phase,
    /// Its limits and accounts.
    pub cgroup: Cgroup,
    request: CreateContainer,
    /// Nodes that are bound to their places when it is launched.
    devices: Vec<Mount>,
    image_volumes: ImageVolumes,
    directory: PathBuf,
    /// How its user namespace maps ids; none: not at all.
    ids: Option<Ids>,
}

/// Disks and other devices that the kernel has for a container.
#[derive(Debug)]
pub struct Hardware<'a> {
    /// Its image's disk.
    pub disk: &'a Path,
    /// Those of images that it has as volumes.
    pub image_volumes: &'a image_volumes::Disks,
    /// What it was given beside it.
    pub devices: &'a [Found],
}

/// Says no to ids that are no file names of ours.
pub fn check_id(id: &str) -> Result<(), CallError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.starts_with('.') || !id.bytes().all(allowed) {
        return Err(CallError::invalid(format!("\"{id}\" is no container id")));
    }
    Ok(())
}

impl Container {
    /// Prepares everything but the process. What was prepared goes again when a later step fails.
    pub fn create(
        request: CreateContainer,
        hardware: &Hardware<'_>,
        images: &mut Images,
        places: &Places<'_>,
    ) -> Result<Self, CallError> {
        let device = request.root.as_ref().map_or(0, |root| root.block_device_id);
        let image = images.acquire(device, hardware.disk)?;
        let directory = places.state.join(&request.container_id);
        let namespace = places.user_namespace;
        let ids = namespace.map(|namespace| namespace.ids);
        let made = mount_root(&directory, &image, namespace).and_then(|()| {
            let devices = make_devices(hardware.devices, &directory.join(DEVICES), ids)?;
            let cgroup = Cgroup::create(places.cgroups, &request.container_id)
                .during("make the container's cgroup")?;
            let mut container = Self {
                phase: Phase::Created,
                cgroup,
                request,
                devices,
                image_volumes: ImageVolumes::new(&directory),
                directory: directory.clone(),
                ids,
            };
            let Self {
                image_volumes,
                request,
                ..
            } = &mut container;
            let disks = hardware.image_volumes;
            image_volumes
                .acquire(&mut request.mounts, disks, images, namespace)
                .and_then(|()| container.check())
                .inspect_err(|_| {
                    complain(
                        container.image_volumes.release(images),
                        "unmount image volumes",
                    );
                    complain(container.cgroup.remove(), "remove a cgroup");
                })?;
            Ok(container)
        });
        made.inspect_err(|_| {
            complain(unmount_root(&directory), "unmount a container");
            complain(images.release(device), "unmount an image");
        })
    }

    /// What StartContainer would fail with, as far as it is known already.
    fn check(&self) -> Result<(), CallError> {
        if let Some(resources) = &self.request.resources {
            self.cgroup.limit(resources)?;
        }
        let process = self.first_process()?;
        self.identity(process)?;
        let name = process.arguments.first().map_or("", String::as_str);
        let directory = match process.working_directory.as_str() {
            "" => Path::new("/"),
            text => Path::new(text),
        };
        // A mount may bring the command: then only the start can tell.
        let mounted = |path: &Path| {
            self.request
                .mounts
                .iter()
                .any(|mount| path.starts_with(&mount.destination))
        };
        if command::candidates(name, &process.environment, directory)
            .iter()
            .any(|path| mounted(path))
        {
            return Ok(());
        }
        let root = self.root()?;
        command::find(name, &process.environment, directory, |path| {
            root.look(path)
        })
        .map(drop)
    }

    /// The process that StartContainer starts.
    pub fn first_process(&self) -> Result<&Description, CallError> {
        let process = self.request.process.as_ref();
        process.ok_or_else(|| CallError::invalid("the container has no process"))
    }

    /// How it is kept apart from the others.
    pub fn isolation(&self) -> Isolation {
        self.request.isolation.clone().unwrap_or_default()
    }

    /// Who its first process is.
    pub fn created(&self) -> Result<ContainerCreated, CallError> {
        let Identity {
            uid, gid, groups, ..
        } = self.identity(self.first_process()?)?;
        Ok(ContainerCreated { uid, gid, groups })
    }

    fn root(&self) -> Result<ContainerRoot, CallError> {
        ContainerRoot::open(&self.directory.join("root")).during("open the container's root")
    }

    fn identity(&self, process: &Description) -> Result<Identity, CallError> {
        let root = self.root()?;
        let read = |path: &str| {
            root.read_text(Path::new(path))
                .during(format_args!("read {path}"))
        };
        let user = process.user.clone().unwrap_or_default();
        let found = users::resolve(&user, &read("/etc/passwd")?, &read("/etc/group")?)?;
        match self.ids {
            Some(ids) => ids.check(&found).map(|()| found),
            None => Ok(found),
        }
    }

    /// How the container's first process is started.
    pub fn launch_first(&self) -> Result<Launch, CallError> {
        let request = &self.request;
        let container = NewContainer {
            root: self.directory.join("root").to_string_lossy().into_owned(),
            read_only: request.root.as_ref().is_some_and(|root| root.read_only),
            hostname: request.hostname.clone(),
            mounts: [request.mounts.as_slice(), &self.devices].concat(),
            masked_paths: request.masked_paths.clone(),
            readonly_paths: request.readonly_paths.clone(),
            privileged: request.privileged,
            own_ipc: self.isolation().own_ipc,
        };
        Ok(Launch {
            container: Some(container),
            ..self.launch(self.first_process()?)?
        })
    }

    /// How one more process is started beside the first.
    pub fn launch(&self, process: &Description) -> Result<Launch, CallError> {
        let identity = self.identity(process)?;
        let mut process = process.clone();
        if !process
            .environment
            .iter()
            .any(|entry| entry.starts_with("HOME="))
        {
            process.environment.push(format!("HOME={}", identity.home));
        }
        Ok(Launch {
            container: None,
            process,
            uid: identity.uid,
            gid: identity.gid,
            mapped_root: self.ids.map(Ids::root),
            groups: identity.groups,
            privileged: self.request.privileged,
            oom_score_adjust: self
                .request
                .resources
                .as_ref()
                .map_or(0, |it| it.oom_score_adjust),
            seccomp_filter: self.isolation().seccomp_filter,
        })
    }

    /// What it uses.
    pub fn stats(&self) -> Result<ContainerStats, CallError> {
        let layer = statvfs(self.directory.join("layer")).during("measure the writable layer")?;
        Ok(ContainerStats {
            writable_layer_bytes: (layer.f_blocks - layer.f_bfree) * layer.f_frsize,
            writable_layer_inodes: layer.f_files - layer.f_ffree,
            writable_layer_total_bytes: layer.f_blocks * layer.f_frsize,
            writable_layer_total_inodes: layer.f_files,
            ..self.cgroup.stats(&self.request.container_id)
        })
    }

    /// Unmounts and removes all that [`Container::create`] made. May be called again after a failure.
    pub fn remove(&mut self, images: &mut Images) -> Result<(), CallError> {
        self.cgroup
            .remove()
            .during("remove the container's cgroup")?;
        self.image_volumes
            .release(images)
            .during("unmount image volumes")?;
        unmount_root(&self.directory).during("unmount the container")?;
        let device = self
            .request
            .root
            .as_ref()
            .map_or(0, |root| root.block_device_id);
        images.release(device).during("unmount the image")
    }
}

fn make_devices(
    found: &[Found],
    directory: &Path,
    ids: Option<Ids>,
) -> Result<Vec<Mount>, CallError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    fs::create_dir(directory).during("make the container's devices")?;
    devices::make(found, directory, ids)
}

/// Mounts `image` below a writable tmpfs layer at `directory/root`. A read-only root has the layer
/// too, for the mount points that the image lacks. In a user namespace, the image shows its ids as
/// that namespace has them, and the layer belongs to its root.
fn mount_root(
    directory: &Path,
    image: &Path,
    namespace: Option<&UserNamespace>,
) -> Result<(), CallError> {
    let what = "mount the container's root";
    let [layer, root] = ["layer", "root"].map(|name| directory.join(name));
    for path in [&layer, &root] {
        fs::create_dir_all(path).during(what)?;
    }
    mount("tmpfs", &layer, "tmpfs", MountFlags::NODEV, c"mode=755").during(what)?;
    let [upper, work] = ["upper", "work"].map(|name| layer.join(name));
    for path in [&upper, &work] {
        fs::create_dir(path).during(what)?;
    }
    let lower = match namespace {
        Some(namespace) => {
            let Owner { uid, gid } = namespace.ids.root();
            chown(&upper, Some(uid), Some(gid)).during(what)?;
            namespace.show(image, &directory.join(MAPPED_IMAGE))?
        }
        None => image.to_owned(),
    };
    let [lower, upper, work] = [&lower, &upper, &work].map(|path| path.display());
    let data = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let data = CString::new(data).during(what)?;
    mount(
        "overlay",
        &root,
        "overlay",
        MountFlags::NODEV,
        data.as_c_str(),
    )
    .during(what)
}

/// Undoes what [`mount_root`] came to.
fn unmount_root(directory: &Path) -> std::io::Result<()> {
    for name in ["root", MAPPED_IMAGE, "layer"] {
        match unmount(directory.join(name), UnmountFlags::empty()) {
            // Not mounted, or never made.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// For undoing: the failure that led here is the one to report.
fn complain<E: std::fmt::Display>(outcome: Result<(), E>, what: &str) {
    if let Err(error) = outcome {
        eprintln!("lightvm-agent: could not {what}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for id in ["a", "0f3c-1_2.x"] {
            assert_eq!(check_id(id), Ok(()));
        }
        for id in ["", ".", "..", ".hidden", "a/b", "a\0", &"x".repeat(129)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }
}
