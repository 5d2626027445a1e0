// SPDX-License-Identifier: Apache-2.0
//! The file server as lightvmd starts it: its jail, its volumes, its end. Needs root.
#![allow(unsafe_code)]

mod fuse;
#[path = "../../addon/src/mounts.rs"]
mod mounts;
#[path = "../../addon/src/user_namespace.rs"]
mod user_namespace;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fuse::{Client, ROOT};
use mounts::{Options, mount_volume, namespace, unmount_volume};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use user_namespace::{IdMappings, IdRange};

const MKDIR: u32 = 9;
const LINK: u32 = 13;
const RENAME2: u32 = 45;
const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;

struct Server {
    child: Child,
    client: Client,
}

impl Server {
    /// A server with one channel, once it is ready; `None` when this is not root.
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let (near, far) = UnixStream::pair().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (control, controlled) = UnixStream::pair().unwrap();
        // The shell puts the sockets where lightvmd puts them.
        let start = "exec \"$0\" --channels 1 3<&1 4<&0 </dev/null >/dev/null";
        let child = Command::new("/bin/sh")
            .args(["-c", start])
            .arg(env!("CARGO_BIN_EXE_lightvm-files"))
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stdout(Stdio::from(OwnedFd::from(controlled)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        let mut said = BufReader::new(control.take(100));
        said.read_line(&mut word).unwrap();
        let mut server = Self {
            child,
            client: Client { stream: near },
        };
        assert_eq!(word, "ready\n", "{}", server.last_words());
        Some(server)
    }

    fn last_words(&mut self) -> String {
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            drop(self.child.kill());
            stderr.read_to_string(&mut words).unwrap();
        }
        words
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(name)
    }

    fn namespace(&self) -> fs::File {
        let stat = fs::read_to_string(self.file("stat")).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        let start_time = fields.split_whitespace().nth(22 - 3).unwrap();
        namespace(self.child.id(), start_time).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn names(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_volume_is_served_from_when_it_is_mounted_until_it_is_not() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let directory = std::env::temp_dir().join(format!("lightvm-served-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("file"), "content").unwrap();
    let client = &mut server.client;
    client.start();
    assert_eq!(client.lookup(ROOT, "a"), Err(libc::ENOENT));
    let (space, options) = (server.namespace(), Options::default());
    mount_volume(space, &directory, "a".into(), options).unwrap();
    let file = directory.join("file");
    mount_volume(server.namespace(), &file, "b".into(), options).unwrap();
    let client = &mut server.client;
    let volume = client.lookup(ROOT, "a").unwrap();
    let node = client.lookup(volume, "file").unwrap();
    assert_eq!(client.read(node), b"content");
    let node = client.lookup(ROOT, "b").unwrap();
    assert_eq!(client.read(node), b"content");
    for name in ["a", "b"] {
        unmount_volume(server.namespace(), name.into()).unwrap();
        assert_eq!(server.client.lookup(ROOT, name), Err(libc::ENOENT));
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_pod_with_a_user_namespace_makes_files_of_the_ids_that_it_has_inside() {
    let Some(server) = Server::start() else {
        return;
    };
    let try_it = move || {
        // A file system that can map ids, which nobody else sees.
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let directory = std::env::temp_dir().join(format!("lightvm-ids-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        mount("tmpfs", &directory, "tmpfs", MountFlags::empty(), None).unwrap();
        make_names(server, &directory);
        unmount(&directory, UnmountFlags::DETACH).unwrap();
        fs::remove_dir(directory).unwrap();
    };
    std::thread::spawn(try_it).join().unwrap();
}

/// With ids 0 to 65535 mapped to 100000 and up, as users 100000 and 101000 and as one who is not mapped.
fn make_names(mut server: Server, directory: &Path) {
    fs::write(directory.join("file"), "content").unwrap();
    let range = IdRange {
        host_id: 100_000,
        length: 65_536,
    };
    let options = Options {
        ids: Some(IdMappings {
            uids: range,
            gids: range,
        }),
        ..Options::default()
    };
    mount_volume(server.namespace(), directory, "a".into(), options).unwrap();
    let client = &mut server.client;
    client.start();
    let volume = client.lookup(ROOT, "a").unwrap();
    let rename = [&volume.to_le_bytes()[..], &[0; 8], b"file\0moved\0"].concat();
    assert_eq!(client.ask_as(0, RENAME2, volume, &rename), -libc::EOVERFLOW);
    assert_eq!(client.ask_as(100_000, RENAME2, volume, &rename), 0);
    let node = client.lookup(volume, "moved").unwrap();
    let link = [&node.to_le_bytes()[..], b"linked\0"].concat();
    // Its own root is root again by now.
    assert_eq!(client.ask_as(0, LINK, volume, &link), -libc::EOVERFLOW);
    assert_eq!(client.ask_as(101_000, LINK, volume, &link), 0);
    let mkdir = b"\xff\x01\0\0\0\0\0\0made\0";
    assert_eq!(client.ask_as(0, MKDIR, volume, mkdir), -libc::EOVERFLOW);
    assert_eq!(client.ask_as(101_000, MKDIR, volume, mkdir), 0);
    assert_eq!(
        names(directory.to_owned()),
        ["linked", "made", "moved"].map(str::to_owned)
    );
    let made = fs::metadata(directory.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1000));
    let moved = fs::metadata(directory.join("moved")).unwrap();
    assert_eq!((moved.uid(), moved.nlink()), (0, 2));
}

#[test]
fn there_is_nothing_but_volumes() {
    let Some(server) = Server::start() else {
        return;
    };
    assert_eq!(names(server.file("root")), ["proc", "volumes"]);
    assert_eq!(names(server.file("root/volumes")), [""; 0]);
    assert_eq!(names(server.file("root/proc/self")), ["fd", "mountinfo"]);
    assert_eq!(
        fs::read(server.file("root/proc/self/mountinfo")).unwrap(),
        b""
    );
    assert!(fs::write(server.file("root/volumes/x"), "").is_err());
    for task in names(server.file("task")) {
        let status = server.file("task").join(task).join("status");
        let status = fs::read_to_string(status).unwrap();
        assert!(status.contains("CapEff:\t00000000000000df"), "{status}");
        assert!(status.contains("NoNewPrivs:\t1"));
    }
}

#[test]
fn it_ends_with_its_channel() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.client.start();
    server
        .client
        .stream
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn it_ends_over_nonsense_and_says_so() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.client.stream.write_all(&[0xff; 64]).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(1));
    assert!(server.last_words().contains("no FUSE message"));
}

#[test]
fn it_takes_no_more_memory_than_an_answer_can_fill() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let client = &mut server.client;
    client.start();
    let size = u32::MAX.to_le_bytes();
    let names = client.ask(LISTXATTR, ROOT, &[size, [0; 4]].concat());
    assert_eq!(names, (0, Vec::new()));
    let body = [&size[..], &[0; 4], b"trusted.x\0"].concat();
    let value = client.ask(GETXATTR, ROOT, &body);
    assert_eq!(value, (-libc::ENODATA, Vec::new()));
}

#[test]
fn it_needs_its_command_line_and_its_channels() {
    let binary = env!("CARGO_BIN_EXE_lightvm-files");
    for arguments in [&[][..], &["--channels", "9"]] {
        let output = Command::new(binary).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!output.stderr.is_empty());
    }
}
