// SPDX-License-Identifier: Apache-2.0
//! Mounts of a pod's volumes (mount_namespaces(7), mount_setattr(2)).
//!
//! They are made in the mount namespace of the pod's file server. In the host's own they would be in
//! the way of whoever wants to remove a directory that something is mounted on, and would have to be
//! found again after a crash; there, nobody sees them, and they end with the server.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use crate::user_namespace::{self, IdMappings};

/// Where the file server has its volumes (native/files/src/jail).
const VOLUMES: &str = "/volumes";

/// How a volume is mounted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// No writes to the mount itself;
    pub(crate) read_only: bool,
    /// and none to what is mounted below it.
    pub(crate) recursively: bool,
    /// What the host mounts below the source later is seen in the volume.
    pub(crate) follow_host: bool,
    /// How owners of its files are seen, also of those that are mounted below it already.
    pub(crate) ids: Option<IdMappings>,
}

/// The mount namespace of a process that is surely the one that is meant.
pub(crate) fn namespace(pid: u32, start_time: &str) -> io::Result<File> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    // Field 22; the second, in parentheses, may itself hold spaces.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    if fields.split_whitespace().nth(22 - 3) == Some(start_time) {
        Ok(namespace)
    } else {
        Err(io::Error::other(format!("process {pid} is another one")))
    }
}

/// Mounts `source` (a directory or any other file; symlinks are followed, mounts below it come
/// along) as the volume `name` in a namespace.
pub(crate) fn mount_volume(
    namespace: File,
    source: &Path,
    name: String,
    options: Options,
) -> io::Result<()> {
    let tree = take(source, options)?;
    let kind = FileType::from_raw_mode(fstat(&tree)?.st_mode);
    within(namespace, move || {
        let point = mount_point(&name)?;
        let root = writable_root()?;
        if kind == FileType::Directory {
            mkdirat(&root, &name, Mode::RWXU)?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(&root, &name, flags, Mode::RUSR)?;
        }
        let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(&tree, "", CWD, &point, from)?)
    })
}

/// Takes a volume away, also from those who use it. No error when there is none.
pub(crate) fn unmount_volume(namespace: File, name: String) -> io::Result<()> {
    within(namespace, move || {
        let point = mount_point(&name)?;
        match unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // EINVAL: nothing is mounted.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let root = writable_root()?;
        match unlinkat(&root, &name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => Ok(unlinkat(&root, &name, AtFlags::empty())?),
            outcome => Ok(outcome?),
        }
    })
}

/// A copy of a tree of mounts, mounted nowhere.
fn take(source: &Path, options: Options) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, flags)?;
    let propagation = if options.follow_host {
        libc::MS_SLAVE
    } else {
        libc::MS_PRIVATE
    };
    let every = Attributes {
        set: libc::MOUNT_ATTR_NODEV,
        propagation,
        recursively: true,
        ..Attributes::default()
    };
    every.apply(&tree)?;
    if options.read_only {
        let read_only = Attributes {
            set: libc::MOUNT_ATTR_RDONLY,
            recursively: options.recursively,
            ..Attributes::default()
        };
        read_only.apply(&tree)?;
    }
    if let Some(ids) = options.ids {
        map_ids(&tree, ids)?;
    }
    Ok(tree)
}

fn map_ids(tree: &OwnedFd, ids: IdMappings) -> io::Result<()> {
    let namespace = user_namespace::create(ids)?;
    let mapped = Attributes {
        set: libc::MOUNT_ATTR_IDMAP,
        recursively: true,
        user_namespace: Some(namespace.as_raw_fd()),
        ..Attributes::default()
    };
    match mapped.apply(tree) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "on this kernel its file system, or one that is mounted below, cannot map ids for a pod \
             with a user namespace of its own",
        )),
        outcome => outcome,
    }
}

/// The volumes' directory by a mount of its own: the server's is read-only.
fn writable_root() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let root = open_tree(CWD, VOLUMES, flags)?;
    let writable = Attributes {
        clear: libc::MOUNT_ATTR_RDONLY,
        ..Attributes::default()
    };
    writable.apply(&root)?;
    Ok(root)
}

/// The path of a volume; `name` is one name.
fn mount_point(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(Path::new(VOLUMES).join(name))
}

/// Does something in a mount namespace, in a thread that ends with it.
fn within(
    namespace: File,
    act: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let entered = move || {
        // Root and working directory are the process's otherwise, and stay behind.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        act()
    };
    let thread = thread::Builder::new().spawn(entered)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// What to change on a mount (mount_setattr(2)).
#[derive(Clone, Copy, Default)]
struct Attributes {
    set: u64,
    clear: u64,
    /// 0 leaves it as it is.
    propagation: libc::c_ulong,
    recursively: bool,
    /// For MOUNT_ATTR_IDMAP: open during the call.
    user_namespace: Option<RawFd>,
}

impl Attributes {
    /// Changes a tree that is mounted nowhere yet.
    fn apply(self, tree: impl AsFd) -> io::Result<()> {
        let attributes = libc::mount_attr {
            attr_set: self.set,
            attr_clr: self.clear,
            propagation: self.propagation,
            userns_fd: self
                .user_namespace
                .map_or(0, |fd| u64::from(fd.unsigned_abs())),
        };
        let recursive = if self.recursively {
            libc::AT_RECURSIVE
        } else {
            0
        };
        // SAFETY: the path is a NUL-terminated constant, `attributes` lives during the call and is
        // as long as is said, and the kernel writes to neither.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_fd().as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | recursive,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
