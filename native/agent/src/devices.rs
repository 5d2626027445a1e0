// SPDX-License-Identifier: Apache-2.0
//! Devices that a container was given, beside those that every container has.
//!
//! Each is a node of the guest's that is bound to its place in the container: bound, it also works where
//! the container's own file systems are mounted `nodev`.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path};

use lightvm_protocol::agent::device::Node as Wanted;
use lightvm_protocol::agent::{Device, Mount, failure::Code};
use rustix::fs::{CWD, Dev, FileType, Mode, mknodat};

use crate::error::{CallError, During};
use crate::images::Images;
use crate::user_namespace::Ids;

/// Permissions of a node.
const PERMISSIONS: u32 = 0o777;

/// A device that the kernel has.
#[derive(Debug)]
pub struct Found {
    wanted: Device,
    kind: FileType,
    number: Dev,
}

/// The devices behind `wanted`; nothing while the kernel lacks a disk that is on its way.
pub fn find(wanted: &[Device], images: &Images) -> Result<Option<Vec<Found>>, CallError> {
    wanted.iter().map(|device| look(device, images)).collect()
}

fn look(wanted: &Device, images: &Images) -> Result<Option<Found>, CallError> {
    let path = match &wanted.node {
        Some(Wanted::BlockDeviceId(id)) => match images.disk(*id) {
            Some(disk) => disk,
            None => return Ok(None),
        },
        Some(Wanted::GuestName(name)) => below_dev(name)?,
        None => return Err(CallError::invalid("a device without a node")),
    };
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("this guest has no {}", path.display());
            return Err(CallError::new(Code::NotFound, message));
        }
        metadata => metadata.during(format_args!("look at {}", path.display()))?,
    };
    let kind = metadata.file_type();
    let kind = match &wanted.node {
        Some(Wanted::BlockDeviceId(_)) if kind.is_block_device() => FileType::BlockDevice,
        Some(Wanted::GuestName(_)) if kind.is_char_device() => FileType::CharacterDevice,
        _ => {
            let message = format!("{} is no such device", path.display());
            return Err(CallError::invalid(message));
        }
    };
    Ok(Some(Found {
        wanted: wanted.clone(),
        kind,
        number: metadata.rdev(),
    }))
}

/// A path below /dev that leads nowhere else.
fn below_dev(name: &str) -> Result<std::path::PathBuf, CallError> {
    let path = Path::new(name);
    let inside = |component| matches!(component, Component::Normal(_));
    if name.is_empty() || !path.components().all(inside) {
        return Err(CallError::invalid(format!("\"{name}\" is no device")));
    }
    Ok(Path::new("/dev").join(path))
}

/// Makes the nodes in `directory`, which is there and on a file system that has devices; returns how
/// they are bound into the container.
pub fn make(found: &[Found], directory: &Path, ids: Option<Ids>) -> Result<Vec<Mount>, CallError> {
    let mut mounts = Vec::new();
    for (number, device) in found.iter().enumerate() {
        let Device { path, mode, .. } = &device.wanted;
        let what = format!("make the device {path}");
        let node = directory.join(number.to_string());
        mknodat(CWD, &node, device.kind, Mode::empty(), device.number).during(&what)?;
        let (uid, gid) = owner(&device.wanted, ids);
        chown(&node, Some(uid), Some(gid)).during(&what)?;
        // Whatever umask we were started with.
        let permissions = fs::Permissions::from_mode(mode & PERMISSIONS);
        fs::set_permissions(&node, permissions).during(&what)?;
        mounts.push(Mount {
            destination: path.clone(),
            r#type: "bind".to_owned(),
            source: node.to_string_lossy().into_owned(),
            options: Vec::new(),
            block_device_id: 0,
        });
    }
    Ok(mounts)
}

/// The guest's numbers of a device's user and group. What the pod has no number for is nobody's there.
fn owner(wanted: &Device, ids: Option<Ids>) -> (u32, u32) {
    let root = ids.map(Ids::root).unwrap_or_default();
    (
        root.uid.saturating_add(wanted.uid),
        root.gid.saturating_add(wanted.gid),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        Images::new(Path::new("/nonexistent"), Path::new("/nonexistent"))
    }

    fn of_guest(name: &str) -> Device {
        Device {
            path: "/dev/x".to_owned(),
            node: Some(Wanted::GuestName(name.to_owned())),
            ..Device::default()
        }
    }

    #[test]
    fn devices_of_the_guest_are_found_by_name() {
        let found = find(&[of_guest("null"), of_guest("zero")], &images()).unwrap();
        let numbers: Vec<_> = found.unwrap().iter().map(|found| found.number).collect();
        assert_eq!(
            numbers,
            [(1, 3), (1, 5)].map(|(a, b)| rustix::fs::makedev(a, b))
        );
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["", "/", "..", "../dev/null", "/dev/null", "."] {
            let error = find(&[of_guest(name)], &images()).unwrap_err();
            assert_eq!(error.code, Code::Invalid, "{name:?}");
        }
        let directory = find(&[of_guest("pts")], &images()).unwrap_err();
        assert_eq!(directory.code, Code::Invalid);
        let none = find(&[of_guest("no-such-device")], &images()).unwrap_err();
        assert_eq!(none.code, Code::NotFound);
        assert!(find(&[Device::default()], &images()).is_err());
    }

    #[test]
    fn a_disk_is_waited_for() {
        let disk = Device {
            node: Some(Wanted::BlockDeviceId(9)),
            ..Device::default()
        };
        assert!(
            find(&[of_guest("null"), disk], &images())
                .unwrap()
                .is_none()
        );
    }
}
