// SPDX-License-Identifier: Apache-2.0
//! The user namespace of a pod whose root shall be nobody in its guest.
//!
//! A namespace begins with a process in it: `lightvm-agent user-namespace`, which ends as soon as the
//! agent holds the namespace by a descriptor.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use lightvm_protocol::agent::{Empty, IdRange, UserNamespace as Wanted};
use lightvm_syscalls::map_ids;
use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::channel::Channel;
use crate::error::{CallError, During};
use crate::launch::Owner;
use crate::users::Identity;

/// How long the first process may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Ids of the namespace: from 0 on inside, from `first` on in the guest.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    uids: IdRange,
    gids: IdRange,
}

/// A user namespace, for as long as the pod lives.
#[derive(Debug)]
pub struct UserNamespace {
    /// What is mapped.
    pub ids: Ids,
    file: File,
}

impl Ids {
    /// Says no to a user that does not exist inside.
    pub fn check(&self, identity: &Identity) -> Result<(), CallError> {
        let groups = identity.groups.iter().all(|gid| *gid < self.gids.length);
        if identity.uid < self.uids.length && identity.gid < self.gids.length && groups {
            return Ok(());
        }
        let message = format!("user {} or a group has no id in the pod", identity.uid);
        Err(CallError::invalid(message))
    }

    /// The guest's number of the user and group that are root inside.
    pub fn root(self) -> Owner {
        Owner {
            uid: self.uids.first,
            gid: self.gids.first,
        }
    }
}

impl UserNamespace {
    /// Makes one; `program` is this program's own file.
    pub fn create(program: &Path, wanted: &Wanted) -> Result<Self, CallError> {
        let missing = || CallError::invalid("a user namespace without ids");
        let ids = Ids {
            uids: wanted.uids.ok_or_else(missing)?,
            gids: wanted.gids.ok_or_else(missing)?,
        };
        let file = make(program, ids).during("make the pod's user namespace")?;
        Ok(Self { ids, file })
    }

    /// Mounts what is at `source` at `target` too, with the ids that it has in this namespace.
    pub fn show(&self, source: &Path, target: &Path) -> Result<PathBuf, CallError> {
        let what = format!("map the ids of {}", source.display());
        fs::create_dir_all(target).during(&what)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, source, flags).during(&what)?;
        map_ids(tree.as_fd(), self.as_fd()).during(&what)?;
        let from = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", CWD, target, from).during(&what)?;
        Ok(target.to_owned())
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn make(program: &Path, Ids { uids, gids }: Ids) -> io::Result<File> {
    let (channel, theirs) = Channel::pair(DEADLINE)?;
    let child = Command::new(program)
        .arg("user-namespace")
        .env_clear()
        .stdin(theirs)
        .spawn()?;
    if channel.receive::<Empty>()?.is_none() {
        return Err(io::Error::other("its first process has failed"));
    }
    let directory = PathBuf::from(format!("/proc/{}", child.id()));
    let line = |range: IdRange| format!("0 {} {}\n", range.first, range.length);
    fs::write(directory.join("uid_map"), line(uids))?;
    fs::write(directory.join("gid_map"), line(gids))?;
    File::open(directory.join("ns/user"))
    // The channel closes here, and with it the child ends; the agent's loop collects it.
}

/// `lightvm-agent user-namespace`: is in a new namespace until the agent hangs up.
pub fn main() -> ExitCode {
    let hold = || -> io::Result<()> {
        let channel = Channel::from_stdin()?;
        unshare(CloneFlags::CLONE_NEWUSER)?;
        channel.send(&Empty {}, &[])?;
        channel.receive::<Empty>().map(drop)
    };
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lightvm-agent: could not make a user namespace: {error}");
            ExitCode::FAILURE
        }
    }
}
