// SPDX-License-Identifier: Apache-2.0
//! Network namespaces that a mount keeps (as ip-netns(8) does), each worked on by a thread that
//! moves there and ends: no other thread of Node's ever leaves its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::thread;

use lightvm_netlink::Netlink;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// The calling thread's own namespace, as a file that can be mounted elsewhere.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Makes a namespace with a loopback interface that is on; it lives as long as the file is open or
/// something else keeps it.
pub(crate) fn open() -> io::Result<File> {
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let mut netlink = Netlink::open()?;
        // The first interface of every namespace is its loopback.
        netlink.turn_on(1)?;
        File::open(OWN_NAMESPACE)
    })
}

/// Keeps the namespace of a descriptor of this process at `path` until [`delete`].
pub(crate) fn keep(descriptor: RawFd, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?;
    let source = format!("/proc/self/fd/{descriptor}");
    let nothing = None::<&str>;
    let kept = mount(
        Some(source.as_str()),
        path,
        nothing,
        MsFlags::MS_BIND,
        nothing,
    );
    if kept.is_err() {
        fs::remove_file(path)?;
    }
    Ok(kept?)
}

/// Lets go of a namespace: it ends with the last process and descriptor in it. One that is not
/// there is no error, and neither is one that was made in part.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // EINVAL: nothing is mounted there.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does `act` in the namespace at `path`.
pub(crate) fn within<T: Send>(
    path: &Path,
    act: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = File::open(path)?;
    in_thread(|| {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        act()
    })
}

fn in_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, act)?;
        let panicked = |_| Err(io::Error::other("a thread panicked"));
        thread.join().unwrap_or_else(panicked)
    })
}
