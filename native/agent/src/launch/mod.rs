// SPDX-License-Identifier: Apache-2.0
//! The last steps of a container's process, in a program of its own.
//!
//! The agent starts its own file again as `lightvm-agent launch`, already inside the container's pid
//! namespace and cgroup, and sends it one [`Launch`]. What follows happens in a fresh process with
//! one thread, so nothing of it can go wrong half-way in the agent:
//!
//! ```text
//!   namespaces ── root and mounts ── stdio ── Report ── privileges ── execve
//!        └──────────── Report with a failure, exit 1 ─────────────────────┘
//! ```
//!
//! The channel closes by itself at execve. That, after a Report without failure, is success.

mod credentials;
mod devices;
mod filesystem;
mod mounts;
mod stdio;

use std::convert::Infallible;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lightvm_protocol::agent::{Failure, Mount, Process};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;
use prost::Message;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::umask;

use crate::channel::Channel;
use crate::command;
use crate::error::{CallError, During};
use crate::root::look_here;

/// What to run, and where. Descriptors travel with it: stdin, stdout and stderr unless there is a
/// terminal, then the pidfd of the container's first process unless the container is new, then the
/// pod's user namespace if it has one.
#[derive(Clone, PartialEq, Message)]
pub struct Launch {
    /// Set for a container's first process.
    #[prost(message, optional, tag = "1")]
    pub container: Option<NewContainer>,
    /// As the host described it.
    #[prost(message, required, tag = "2")]
    pub process: Process,
    /// Resolved user number.
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    /// Resolved primary group.
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    /// Resolved groups.
    #[prost(uint32, repeated, tag = "5")]
    pub groups: Vec<u32>,
    /// Every capability, whatever the process asks for.
    #[prost(bool, tag = "6")]
    pub privileged: bool,
    /// For /proc/self/oom_score_adj.
    #[prost(int64, tag = "7")]
    pub oom_score_adjust: i64,
    /// Program of a seccomp filter; empty: none.
    #[prost(bytes = "vec", tag = "8")]
    pub seccomp_filter: Vec<u8>,
    /// In a user namespace: what root's user and group are outside of it.
    #[prost(message, optional, tag = "9")]
    pub mapped_root: Option<Owner>,
}

/// A user and a group by number.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Owner {
    /// User.
    #[prost(uint32, tag = "1")]
    pub uid: u32,
    /// Group.
    #[prost(uint32, tag = "2")]
    pub gid: u32,
}

/// The file system and names of a new container.
#[derive(Clone, PartialEq, Message)]
pub struct NewContainer {
    /// Its mounted root, in the guest's file system.
    #[prost(string, tag = "1")]
    pub root: String,
    /// No writes to the root.
    #[prost(bool, tag = "2")]
    pub read_only: bool,
    /// Empty: the guest's.
    #[prost(string, tag = "3")]
    pub hostname: String,
    /// Mounts on top of the usual ones, or in their place.
    #[prost(message, repeated, tag = "4")]
    pub mounts: Vec<Mount>,
    /// Paths whose content is hidden.
    #[prost(string, repeated, tag = "5")]
    pub masked_paths: Vec<String>,
    /// Paths that can't be written.
    #[prost(string, repeated, tag = "6")]
    pub readonly_paths: Vec<String>,
    /// /sys and the cgroups are writable.
    #[prost(bool, tag = "7")]
    pub privileged: bool,
    /// An IPC namespace of its own instead of the pod's.
    #[prost(bool, tag = "8")]
    pub own_ipc: bool,
}

/// How far it came: without a failure, everything but execve succeeded. With a terminal, its
/// master end travels along.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// Why it ended.
    #[prost(message, optional, tag = "1")]
    pub failure: Option<Failure>,
}

/// `lightvm-agent launch`: becomes the process that the agent sends over standard input.
pub fn main() -> ExitCode {
    let channel = match Channel::from_stdin() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("lightvm-agent: launch is for the agent alone: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Err(error) = become_process(&channel);
    let report = Report {
        failure: Some(error.into()),
    };
    if let Err(error) = channel.send(&report, &[]) {
        eprintln!("lightvm-agent: could not report a failed launch: {error}");
    }
    ExitCode::FAILURE
}

fn become_process(channel: &Channel) -> Result<Infallible, CallError> {
    let (launch, descriptors) = channel
        .receive::<Launch>()
        .during("receive the launch")?
        .ok_or_else(|| CallError::internal("the agent sent no launch"))?;
    let mut descriptors = descriptors.into_iter();
    let terminal = launch.process.terminal;
    let streams = if terminal {
        None
    } else {
        Some(stdio::take_three(&mut descriptors)?)
    };
    // While /proc is still the guest's, and lowering it still allowed.
    fs::write(
        "/proc/self/oom_score_adj",
        launch.oom_score_adjust.to_string(),
    )
    .during("set the OOM score")?;
    if let Some(root) = launch.mapped_root {
        credentials::create_files_as(root)?;
    }
    match &launch.container {
        Some(container) => filesystem::enter(container)?,
        None => join(descriptors.next())?,
    }
    let user_namespace = launch.mapped_root.and_then(|_| descriptors.next());
    umask(Mode::from_raw_mode(0o022));
    nix::unistd::setsid().during("start a session")?;
    let master = match streams {
        Some(streams) => stdio::install(&streams, &launch).map(|()| None),
        None => stdio::open_terminal(&launch).map(Some),
    }?;
    let directory = working_directory(&launch.process)?;
    if let Some(namespace) = user_namespace {
        enter_user_namespace(&namespace, launch.container.is_some())?;
    }
    credentials::apply(&launch)?;
    let program = command::find(
        command_name(&launch)?,
        &launch.process.environment,
        &directory,
        look_here,
    )?;
    let handed: Vec<_> = master.iter().map(OwnedFd::as_fd).collect();
    channel
        .send(&Report::default(), &handed)
        .during("report the launch")?;
    drop(master);
    Err(execute(&program, &launch.process))
}

/// Enters the namespaces of a running container; the pid namespace has been chosen by the agent.
fn join(pidfd: Option<OwnedFd>) -> Result<(), CallError> {
    let pidfd = pidfd.ok_or_else(|| CallError::internal("no container to join"))?;
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    setns(pidfd, namespaces).during("enter the container")
}

/// Everything that took the guest's root is done. A new container's names and mounts belong to the
/// namespace, so that its root may change them; the pid and network namespaces stay the guest's.
fn enter_user_namespace(namespace: &OwnedFd, is_new: bool) -> Result<(), CallError> {
    setns(namespace, CloneFlags::CLONE_NEWUSER).during("enter the pod's user namespace")?;
    if is_new {
        let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWCGROUP;
        unshare(own).during("make namespaces of the pod's user namespace")?;
    }
    Ok(())
}

fn command_name(launch: &Launch) -> Result<&str, CallError> {
    let first = launch.process.arguments.first().map(String::as_str);
    first.ok_or_else(|| CallError::invalid("there is no command"))
}

/// Goes to the working directory, which is made when the image has none.
fn working_directory(process: &Process) -> Result<PathBuf, CallError> {
    let directory = match process.working_directory.as_str() {
        "" => Path::new("/"),
        text => Path::new(text),
    };
    if !directory.is_absolute() {
        let message = format!("the working directory {} is relative", directory.display());
        return Err(CallError::invalid(message));
    }
    let what = format!("go to the working directory {}", directory.display());
    if !directory.is_dir() {
        fs::create_dir_all(directory).during(&what)?;
    }
    std::env::set_current_dir(directory).during(&what)?;
    Ok(directory.to_owned())
}

fn execute(program: &Path, process: &Process) -> CallError {
    let (name, arguments) = process
        .arguments
        .split_first()
        .map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let environment = process
        .environment
        .iter()
        .map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    // The agent blocks SIGCHLD, and a mask is inherited: a shell would wait for its children for ever.
    if let Err(error) = SigSet::empty().thread_set_mask() {
        return CallError::internal(format!("could not unblock signals: {error}"));
    }
    // exec() gives SIGPIPE back its default.
    let error = Command::new(program)
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .exec();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) => command::not_found(name),
        Some(Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR) => {
            command::not_executable(name)
        }
        _ => CallError::internal(format!("could not execute {}: {error}", program.display())),
    }
}
