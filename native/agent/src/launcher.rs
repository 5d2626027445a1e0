// SPDX-License-Identifier: Apache-2.0
//! Starts processes in containers. The other half is [`crate::launch`], in the new process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::cgroup::Cgroup;
use crate::channel::Channel;
use crate::error::{CallError, During};
use crate::launch::{Launch, Report};
use crate::user_namespace::UserNamespace;

/// How long a new process may take from its start to execve.
const DEADLINE: Duration = Duration::from_secs(20);

/// Starts processes, each as this program again.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    own_pid_namespace: File,
}

/// Where a process goes beside its namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Its container's.
    pub cgroup: &'a Cgroup,
    /// The pod's, if it has one of its own.
    pub user_namespace: Option<&'a UserNamespace>,
}

/// A process that runs its command.
#[derive(Debug)]
pub struct Launched {
    /// In the guest's own pid namespace.
    pub pid: Pid,
    /// The master end of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
}

impl Launcher {
    /// `program` is this program's own file.
    pub fn new(program: &Path) -> io::Result<Self> {
        let own_pid_namespace = File::open("/proc/self/ns/pid")?;
        Ok(Self {
            program: program.to_owned(),
            own_pid_namespace,
        })
    }

    /// Starts the process and waits until it runs its command. `streams` are its stdin, stdout and
    /// stderr (none with a terminal). It shares the pid namespace of `neighbour`, or gets its own;
    /// unless its container is new, the neighbour is in that container and it goes there too.
    pub fn start(
        &self,
        launch: &Launch,
        streams: &[OwnedFd],
        neighbour: Option<Pid>,
        surroundings: Surroundings<'_>,
    ) -> Result<Launched, CallError> {
        let pidfd = neighbour
            .map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .transpose()
            .during("find the neighbouring process")?;
        let (channel, theirs) = Channel::pair(DEADLINE).during("make a channel")?;
        let child = self
            .spawn("launch", theirs.into(), pidfd.as_ref())
            .during("start a process")?;
        let pid = Pid::from_child(&child);
        let joined = pidfd.iter().filter(|_| launch.container.is_none());
        let descriptors: Vec<BorrowedFd<'_>> = (streams.iter().chain(joined).map(AsFd::as_fd))
            .chain(surroundings.user_namespace.map(AsFd::as_fd))
            .collect();
        surroundings
            .cgroup
            .add(child.id())
            .during("move the process into its cgroup")
            .and_then(|()| hand_over(&channel, launch, &descriptors))
            .map(|terminal| Launched { pid, terminal })
            .inspect_err(|_| {
                if let Err(error) = kill_process(pid, Signal::KILL) {
                    eprintln!("lightvm-agent: could not end a failed launch: {error}");
                }
            })
    }

    /// Starts the first process of a pid namespace that containers share ([`crate::pod_init`]).
    pub fn start_pod_init(&self) -> Result<Pid, CallError> {
        let child = self.spawn("pod-init", Stdio::null(), None);
        child
            .map(|child| Pid::from_child(&child))
            .during("start the pod's first process")
    }

    /// The child is the first of a new pid namespace, or one more in that of `neighbour`.
    fn spawn(&self, mode: &str, stdin: Stdio, neighbour: Option<&OwnedFd>) -> io::Result<Child> {
        match neighbour {
            Some(pidfd) => setns(pidfd, CloneFlags::CLONE_NEWPID)?,
            None => unshare(CloneFlags::CLONE_NEWPID)?,
        }
        let child = Command::new(&self.program)
            .arg(mode)
            .env_clear()
            .stdin(stdin)
            .spawn();
        // Only affects which namespace children get; ours has never changed.
        setns(&self.own_pid_namespace, CloneFlags::CLONE_NEWPID)?;
        child
    }
}

/// Sends the launch and waits for its outcome; returns the terminal.
fn hand_over(
    channel: &Channel,
    launch: &Launch,
    descriptors: &[BorrowedFd<'_>],
) -> Result<Option<OwnedFd>, CallError> {
    channel.send(launch, descriptors).during("send a launch")?;
    let silent = || CallError::internal("the new process ended before it ran its command");
    let (report, mut handed) = channel
        .receive::<Report>()
        .during("start the process")?
        .ok_or_else(silent)?;
    if let Some(failure) = report.failure {
        return Err(failure.into());
    }
    match channel.receive::<Report>().during("execute the command")? {
        Some((
            Report {
                failure: Some(failure),
            },
            _,
        )) => Err(failure.into()),
        _ => Ok(handed.pop()),
    }
}
