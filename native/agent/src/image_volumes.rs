// SPDX-License-Identifier: Apache-2.0
//! Image volumes: what a container sees, read-only, of images that it is not made of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lightvm_protocol::agent::Mount;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::{CallError, During};
use crate::images::Images;
use crate::root::ContainerRoot;
use crate::user_namespace::UserNamespace;

/// The disk of each image, by its noxs entry id.
pub type Disks = BTreeMap<u32, PathBuf>;

/// The image volumes of one container.
#[derive(Debug)]
pub struct ImageVolumes {
    /// Below it, images are shown with the ids of the pod's user namespace.
    mapped: PathBuf,
    /// The image of each volume, used once for each.
    devices: Vec<u32>,
}

/// The devices of image volumes among `mounts`.
pub fn devices(mounts: &[Mount]) -> impl Iterator<Item = u32> {
    mounts
        .iter()
        .filter(|mount| is_image(mount))
        .map(|mount| mount.block_device_id)
}

/// Their disks; nothing while the kernel lacks one of them.
pub fn find(mounts: &[Mount], images: &Images) -> Option<Disks> {
    devices(mounts)
        .map(|id| images.disk(id).map(|disk| (id, disk)))
        .collect()
}

fn is_image(mount: &Mount) -> bool {
    mount.r#type == "image"
}

impl ImageVolumes {
    /// None yet; `directory` is the container's own.
    pub fn new(directory: &Path) -> Self {
        Self {
            mapped: directory.join("mapped-images"),
            devices: Vec::new(),
        }
    }

    /// Mounts the images, and makes of each volume among `mounts` a bind of the part that it names.
    /// After a failure, [`ImageVolumes::release`] undoes what was done.
    pub fn acquire(
        &mut self,
        mounts: &mut [Mount],
        disks: &Disks,
        images: &mut Images,
        namespace: Option<&UserNamespace>,
    ) -> Result<(), CallError> {
        for mount in mounts.iter_mut().filter(|mount| is_image(mount)) {
            let id = mount.block_device_id;
            let disk = disks.get(&id);
            let disk = disk.ok_or_else(|| CallError::invalid(format!("no disk is device {id}")))?;
            let image = images.acquire(id, disk)?;
            let number = self.devices.len();
            self.devices.push(id);
            let shown = match namespace {
                Some(namespace) => namespace.show(&image, &self.view(number))?,
                None => image,
            };
            mount.source = part(&shown, &mount.source)?;
            "bind".clone_into(&mut mount.r#type);
        }
        Ok(())
    }

    /// Gives the images up. May be called again after a failure.
    pub fn release(&mut self, images: &mut Images) -> std::io::Result<()> {
        while let Some(id) = self.devices.last() {
            match unmount(self.view(self.devices.len() - 1), UnmountFlags::empty()) {
                // There is no view without a user namespace, or it was not mounted.
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            images.release(*id)?;
            self.devices.pop();
        }
        Ok(())
    }

    fn view(&self, number: usize) -> PathBuf {
        self.mapped.join(number.to_string())
    }
}

/// The path of what `name` is in the image at `image`, empty for all of it. Symlinks, which the
/// image's author wrote, lead nowhere else.
fn part(image: &Path, name: &str) -> Result<String, CallError> {
    let name = if name.is_empty() { "." } else { name };
    let root = ContainerRoot::open(image).during("open an image")?;
    let found = root.locate(Path::new(name)).map_err(|cause| {
        CallError::precondition(format!("the image of a volume has no \"{name}\": {cause}"))
    })?;
    let found = found.into_os_string().into_string();
    found.map_err(|path| CallError::precondition(format!("{path:?} is not UTF-8")))
}
