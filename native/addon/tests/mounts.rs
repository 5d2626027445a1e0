// SPDX-License-Identifier: Apache-2.0
//! Mounts volumes in a namespace like a file server's.
#![allow(unsafe_code)]

#[path = "../src/mounts.rs"]
mod mounts;
#[path = "../src/user_namespace.rs"]
mod user_namespace;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use mounts::{Options, mount_volume, namespace, unmount_volume};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use user_namespace::{IdMappings, IdRange};

/// A host's directories and a server's namespace, each seen by a thread of its own.
struct Host {
    directory: PathBuf,
    server: File,
}

impl Host {
    /// Moves the calling thread into a host with a mount below a directory: `source/inner`.
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            // Only root mounts; the build root runs its tests as root.
            return None;
        }
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        let directory = PathBuf::from("/tmp").join(format!("lightvm-mounts-{name}"));
        fs::create_dir_all(&directory).unwrap();
        mount("tmpfs", &directory, "tmpfs", MountFlags::empty(), None).unwrap();
        mount_change(&directory, MountPropagationFlags::SHARED).unwrap();
        let server = server();
        let host = Self { directory, server };
        for name in ["source/inner", "source/late"] {
            fs::create_dir_all(host.path(name)).unwrap();
        }
        host.mount("source/inner");
        fs::write(host.path("source/file"), "content").unwrap();
        symlink("source", host.path("link")).unwrap();
        Some(host)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn mount(&self, name: &str) {
        let flags = MountFlags::empty();
        mount("tmpfs", self.path(name), "tmpfs", flags, None).unwrap();
    }

    fn volume(&self, source: &str, name: &str, options: Options) {
        let server = self.server.try_clone().unwrap();
        mount_volume(server, &self.path(source), name.into(), options).unwrap();
    }

    fn unmount(&self, name: &str) {
        unmount_volume(self.server.try_clone().unwrap(), name.into()).unwrap();
    }

    /// What the server sees.
    fn seen<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> T {
        let server = self.server.try_clone().unwrap();
        let enter = move || {
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(server, CloneFlags::CLONE_NEWNS).unwrap();
            look()
        };
        std::thread::spawn(enter).join().unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.seen(|| {
            let entries = fs::read_dir("/volumes").unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect()
        })
    }
}

/// A namespace with an empty, read-only tmpfs at /volumes.
fn server() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let namespace = File::open("/proc/thread-self/ns/mnt").unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        // A root of its own: the machine's has no such directory.
        mount("tmpfs", "/mnt", "tmpfs", MountFlags::empty(), None).unwrap();
        fs::create_dir("/mnt/volumes").unwrap();
        let flags = MountFlags::empty();
        mount("tmpfs", "/mnt/volumes", "tmpfs", flags, None).unwrap();
        let read_only = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount("/mnt/volumes", read_only, c"").unwrap();
        std::env::set_current_dir("/mnt").unwrap();
        rustix::process::pivot_root(".", ".").unwrap();
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(".", detach).unwrap();
        namespace
    };
    std::thread::spawn(make).join().unwrap()
}

fn writable(directory: &str) -> bool {
    match fs::write(Path::new(directory).join("written"), "") {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
            false
        }
    }
}

#[test]
fn directories_files_and_links_become_volumes() {
    let Some(host) = Host::new("kinds") else {
        return;
    };
    host.volume("link", "1", Options::default());
    host.volume("source/file", "2", Options::default());
    assert!(host.seen(|| writable("/volumes/1") && writable("/volumes/1/inner")));
    assert!(host.path("source/inner/written").exists());
    let text = host.seen(|| fs::read_to_string("/volumes/2").unwrap());
    assert_eq!(text, "content");
    // The host's own namespace has nothing of it.
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains("/volumes"));
    fs::remove_dir_all(host.path("source/late")).unwrap();
    for name in ["1", "2", "none"] {
        host.unmount(name);
    }
    assert!(host.names().is_empty());
    assert!(host.path("source/written").exists());
}

#[test]
fn read_only_ends_at_mounts_unless_recursive() {
    let Some(host) = Host::new("read-only") else {
        return;
    };
    let read_only = Options {
        read_only: true,
        ..Options::default()
    };
    let recursively = Options {
        recursively: true,
        ..read_only
    };
    host.volume("source", "1", read_only);
    host.volume("source", "2", recursively);
    assert!(!host.seen(|| writable("/volumes/1")));
    assert!(host.seen(|| writable("/volumes/1/inner")));
    assert!(!host.seen(|| writable("/volumes/2") || writable("/volumes/2/inner")));
    assert!(!host.seen(|| writable("/volumes")));
    fs::write(host.path("source/written"), "").unwrap();
}

#[test]
fn later_mounts_of_the_host_come_if_they_shall() {
    let Some(host) = Host::new("later") else {
        return;
    };
    let following = Options {
        follow_host: true,
        ..Options::default()
    };
    host.volume("source", "1", following);
    host.volume("source", "2", Options::default());
    host.mount("source/late");
    fs::write(host.path("source/late/new"), "").unwrap();
    assert!(host.seen(|| Path::new("/volumes/1/late/new").exists()));
    assert!(!host.seen(|| Path::new("/volumes/2/late/new").exists()));
}

const MAPPED: Options = Options {
    read_only: false,
    recursively: false,
    follow_host: false,
    ids: Some(IdMappings {
        uids: IdRange {
            host_id: 100_000,
            length: 65_536,
        },
        gids: IdRange {
            host_id: 200_000,
            length: 65_536,
        },
    }),
};

#[test]
fn ids_are_those_of_a_user_namespace_if_they_shall() {
    let Some(host) = Host::new("ids") else {
        return;
    };
    for (name, uid, gid) in [
        ("own", 1000, 1001),
        ("alien", 65_536, 0),
        ("inner/own", 1, 2),
    ] {
        let path = host.path("source").join(name);
        fs::write(&path, "").unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
    }
    host.volume("source", "1", MAPPED);
    host.volume("source", "2", Options::default());
    let owner = |path: &'static str| {
        host.seen(move || fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap())
    };
    assert_eq!(owner("/volumes/1/file"), (100_000, 200_000));
    assert_eq!(owner("/volumes/1/own"), (101_000, 201_001));
    assert_eq!(owner("/volumes/1/inner/own"), (100_001, 200_002));
    // Whom the namespace does not know is nobody: fs.overflowuid of proc_sys_fs(5).
    assert_eq!(owner("/volumes/1/alien").0, 65_534);
    assert_eq!(owner("/volumes/2/own"), (1000, 1001));
    host.seen(|| chown("/volumes/1/own", Some(100_000), Some(200_007)).unwrap());
    let changed = fs::metadata(host.path("source/own")).unwrap();
    assert_eq!((changed.uid(), changed.gid()), (0, 7));
}

#[test]
fn a_file_system_that_cannot_map_ids_is_refused() {
    let Some(host) = Host::new("unmappable") else {
        return;
    };
    let server = host.server.try_clone().unwrap();
    let refused = mount_volume(server, Path::new("/proc"), "1".into(), MAPPED).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(host.names().is_empty());
}

#[test]
fn user_namespaces_are_made_side_by_side() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let make = || (0..50).for_each(|_| drop(user_namespace::create(MAPPED.ids.unwrap()).unwrap()));
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn nothing_of_a_user_namespace_remains_but_its_descriptor() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ids = MAPPED.ids.unwrap();
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    let one = user_namespace::create(ids).unwrap();
    let two = user_namespace::create(ids).unwrap();
    let inodes = [&one, &two].map(|file| file.metadata().unwrap().ino());
    assert_ne!(inodes[0], inodes[1]);
    assert!(!own.to_string_lossy().contains(&inodes[0].to_string()));
    // No child is left that somebody could wait for.
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    assert_eq!(children, "");
}

#[test]
fn names_lead_nowhere_else() {
    let Some(host) = Host::new("names") else {
        return;
    };
    for name in ["", ".", "..", "a/b", "/etc"] {
        let server = host.server.try_clone().unwrap();
        let source = host.path("source");
        assert!(mount_volume(server, &source, name.into(), Options::default()).is_err());
    }
    assert!(host.names().is_empty());
}

#[test]
fn a_process_is_known_by_its_start_time() {
    let pid = std::process::id();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    let start = fields.split_whitespace().nth(19).unwrap();
    assert!(namespace(pid, start).is_ok());
    assert!(namespace(pid, "1").is_err());
}
