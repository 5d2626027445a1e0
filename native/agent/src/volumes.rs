// SPDX-License-Identifier: Apache-2.0
//! The pod's volumes: one file system that the node serves, and tmpfs that live in this guest. Both
//! are mounted once and bound into containers.

use std::ffi::CString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use lightvm_protocol::agent::Mount;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::error::{CallError, During};

/// The tag of the node's file system (agent.proto, CreateContainer).
const TAG: &str = "volumes";

/// What containers of this pod can share.
#[derive(Debug)]
pub struct Volumes {
    /// Where the node's file system is mounted,
    served: PathBuf,
    /// once it is.
    mounted: bool,
    /// Below it are the guest's own.
    memory: PathBuf,
}

impl Volumes {
    /// Nothing is mounted yet.
    pub fn new(directory: &Path) -> Self {
        Self {
            served: directory.join("volumes"),
            mounted: false,
            memory: directory.join("memory"),
        }
    }

    /// Mounts the node's file system unless it is; false while the kernel does not have it yet.
    pub fn acquire(&mut self) -> Result<bool, CallError> {
        if self.mounted {
            return Ok(true);
        }
        let what = "mount the pod's volumes";
        fs::create_dir_all(&self.served).during(what)?;
        match mount(TAG, &self.served, "virtiofs", MountFlags::NODEV, None) {
            Ok(()) => self.mounted = true,
            // No device has this tag.
            Err(Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error).during(what),
        }
        Ok(true)
    }

    /// Replaces "volume" and "memory" by bind mounts of what they stand for.
    pub fn resolve(&self, mounts: &mut [Mount]) -> Result<(), CallError> {
        for mount in mounts {
            let source = match mount.r#type.as_str() {
                "volume" if self.mounted => self.served.join(name(mount)?),
                "volume" => return Err(CallError::precondition("the pod has no volumes")),
                "memory" => {
                    let made = self.make_memory(name(mount)?, &mount.options)?;
                    mount.options.retain(|option| !of_tmpfs(option));
                    made
                }
                _ => continue,
            };
            mount.source = source.to_string_lossy().into_owned();
            "bind".clone_into(&mut mount.r#type);
        }
        Ok(())
    }

    /// The tmpfs of this name; the first container that wants it says how it is.
    fn make_memory(&self, name: &str, options: &[String]) -> Result<PathBuf, CallError> {
        let path = self.memory.join(name);
        if path.exists() {
            return Ok(path);
        }
        let what = format!("make the memory volume {name}");
        fs::create_dir_all(&path).during(&what)?;
        let own = options.iter().map(String::as_str);
        let own: Vec<_> = own.filter(|option| of_tmpfs(option)).collect();
        let data = CString::new(own.join(",")).during(&what)?;
        mount("tmpfs", &path, "tmpfs", MountFlags::NODEV, data.as_c_str())
            .during(&what)
            .inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(path)
    }
}

/// "size=…", "mode=…": of the file system that containers share, not of one container's mount.
fn of_tmpfs(option: &str) -> bool {
    option.contains('=')
}

/// The name of a volume: one component of a path, and no other.
fn name(mount: &Mount) -> Result<&str, CallError> {
    let mut components = Path::new(&mount.source).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) if name == mount.source.as_str() => Ok(&mount.source),
        _ => Err(CallError::invalid(format!(
            "\"{}\" is no volume",
            mount.source
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(source: &str) -> Mount {
        Mount {
            r#type: "volume".into(),
            source: source.into(),
            ..Mount::default()
        }
    }

    #[test]
    fn volumes_become_binds() {
        let volumes = Volumes {
            mounted: true,
            ..Volumes::new(Path::new("/run/x"))
        };
        let mut mounts = [volume("a-0"), Mount::default()];
        volumes.resolve(&mut mounts).unwrap();
        let [bound, other] = mounts;
        assert_eq!(
            (bound.r#type.as_str(), bound.source.as_str()),
            ("bind", "/run/x/volumes/a-0")
        );
        assert_eq!(other, Mount::default());
    }

    #[test]
    fn names_lead_nowhere_else() {
        let volumes = Volumes {
            mounted: true,
            ..Volumes::new(Path::new("/run/x"))
        };
        for source in ["", ".", "..", "/", "/etc", "a/b", "../a", "a/"] {
            assert!(
                volumes.resolve(&mut [volume(source)]).is_err(),
                "{source:?}"
            );
        }
        let none = Volumes::new(Path::new("/run/x"));
        assert!(none.resolve(&mut [volume("a")]).is_err());
    }
}
