// SPDX-License-Identifier: Apache-2.0
//! Mounts volumes in a namespace like a file server's.
#![allow(unsafe_code)]

#[path = "../src/mounts.rs"]
mod mounts;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mounts::{Options, mount_volume, namespace, unmount_volume};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};

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
