// SPDX-License-Identifier: Apache-2.0
//! Images: EROFS file systems on hot-plugged disks. Each is mounted once, however many containers
//! are made of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::{CallError, During};

/// The mounted images.
#[derive(Debug)]
pub struct Images {
    /// Where the kernel shows platform devices.
    platform_devices: PathBuf,
    /// Where images are mounted.
    directory: PathBuf,
    /// How many containers use the image of each device.
    users: BTreeMap<u32, usize>,
}

impl Images {
    /// No images yet.
    pub fn new(platform_devices: &Path, directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self {
            platform_devices: platform_devices.to_owned(),
            directory,
            users: BTreeMap::new(),
        }
    }

    /// The node of the disk with noxs entry id `id`, once the kernel has it:
    /// `noxs<id>/virtio<n>/block/<name>`. The node is there before the disk can be opened; the
    /// kernel's news of it come after both (Linux block/genhd.c, device_add_disk).
    pub fn disk(&self, id: u32) -> Option<PathBuf> {
        let device = self.platform_devices.join(format!("noxs{id}"));
        let virtio = entries(&device).into_iter().filter(|name| {
            name.strip_prefix("virtio")
                .is_some_and(|rest| !rest.is_empty())
        });
        virtio
            .flat_map(|name| entries(&device.join(name).join("block")))
            .map(|disk| Path::new("/dev").join(disk))
            .find(|node| fs::File::open(node).is_ok())
    }

    /// Mounts the image on `disk` unless it is, and returns where.
    pub fn acquire(&mut self, id: u32, disk: &Path) -> Result<PathBuf, CallError> {
        let path = self.path(id);
        if !self.users.contains_key(&id) {
            let what = format!("mount the image of device {id}");
            fs::create_dir_all(&path).during(&what)?;
            let flags = MountFlags::RDONLY | MountFlags::NODEV;
            mount(disk, &path, "erofs", flags, None).during(&what)?;
        }
        *self.users.entry(id).or_insert(0) += 1;
        Ok(path)
    }

    /// Gives up one use; the last one unmounts the image.
    pub fn release(&mut self, id: u32) -> io::Result<()> {
        match self.users.get_mut(&id) {
            None => Ok(()),
            Some(count) if *count > 1 => {
                *count -= 1;
                Ok(())
            }
            Some(_) => {
                let path = self.path(id);
                unmount(&path, UnmountFlags::empty())?;
                self.users.remove(&id);
                fs::remove_dir(path)
            }
        }
    }

    fn path(&self, id: u32) -> PathBuf {
        self.directory.join(id.to_string())
    }
}

/// Names in a directory; none when it is not there (yet).
fn entries(directory: &Path) -> Vec<String> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    found
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
