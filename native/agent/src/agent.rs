// SPDX-License-Identifier: Apache-2.0
//! The agent's one loop: calls of the host, streams of processes, ends of processes, new devices.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lightvm_protocol::AGENT_PROTOCOL_VERSION;
use lightvm_protocol::agent::{Hello, agent_message::Body};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use rustix::time::{ClockId, clock_gettime};

use crate::cgroup::enable_controllers;
use crate::container::{Container, Phase};
use crate::control::Control;
use crate::forward::Forwards;
use crate::images::Images;
use crate::launcher::Launcher;
use crate::process::{Process, ProcessKey};
use crate::shutdown::Shutdown;
use crate::uevents::{Uevents, timespec};
use crate::user_namespace::UserNamespace;
use crate::volumes::Volumes;
use crate::vsock::Host;
use crate::waiting::Waiting;

/// Bytes moved by one read of a stream.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Where the agent finds and keeps things.
#[derive(Clone, Debug)]
pub struct Paths {
    /// This program's own file.
    pub program: PathBuf,
    /// Images and containers are mounted below it.
    pub state: PathBuf,
    /// The root of the cgroup2 hierarchy.
    pub cgroups: PathBuf,
    /// Where the kernel shows platform devices.
    pub platform_devices: PathBuf,
    /// Where the kernel is told how much memory the guest does without.
    pub forgone_memory: PathBuf,
    /// Where the kernel has a folder for each processor.
    pub processors: PathBuf,
}

/// Everything that the agent knows.
pub struct Agent {
    pub(crate) paths: Paths,
    pub(crate) host: Box<dyn Host>,
    pub(crate) control: Control,
    pub(crate) images: Images,
    pub(crate) volumes: Volumes,
    pub(crate) launcher: Launcher,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) processes: BTreeMap<ProcessKey, Process>,
    pub(crate) forwards: Forwards,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) shutdown: Option<Shutdown>,
    /// The pod's own, if it is to have one.
    pub(crate) user_namespace: Option<UserNamespace>,
    /// First of the pid namespace that containers share, once one wants that.
    pub(crate) pod_init: Option<Pid>,
    children: SignalFd,
    uevents: Uevents,
    scratch: Vec<u8>,
}

/// Why the loop has ended.
#[derive(Debug)]
pub enum End {
    /// The host asked for it; all processes are gone.
    Shutdown,
    /// The control connection broke: nobody can ask for anything any more.
    HostLost(io::Error),
}

impl Agent {
    /// Says hello over `control`. Blocks SIGCHLD, which the loop reads instead.
    pub fn new(
        paths: Paths,
        host: Box<dyn Host>,
        control: OwnedFd,
        uevents: Uevents,
    ) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        enable_controllers(&paths.cgroups)?;
        let images = Images::new(&paths.platform_devices, &paths.state.join("images"));
        let volumes = Volumes::new(&paths.state);
        let launcher = Launcher::new(&paths.program)?;
        let mut control = Control::new(control)?;
        control.send(0, Body::Hello(hello()))?;
        Ok(Self {
            paths,
            host,
            control,
            images,
            volumes,
            launcher,
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            forwards: Forwards::default(),
            waiting: Vec::new(),
            shutdown: None,
            user_namespace: None,
            pod_init: None,
            children,
            uevents,
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Serves until there is nothing more to serve.
    pub fn run(&mut self) -> End {
        loop {
            match self.turn() {
                Ok(false) => {}
                Ok(true) => return End::Shutdown,
                Err(error) => return End::HostLost(error),
            }
        }
    }

    /// Waits for something to happen and deals with it; true after a shutdown.
    fn turn(&mut self) -> io::Result<bool> {
        self.control.flush()?;
        let ready = self.wait_for_events()?;
        self.pump_streams(ready.streams);
        if ready.children {
            self.reap()?;
        }
        self.report_ends()?;
        if ready.devices && self.uevents.drain()? {
            self.retry_waiting()?;
        }
        if ready.control {
            let mut scratch = std::mem::take(&mut self.scratch);
            let outcome = self.control.read(&mut scratch);
            self.scratch = scratch;
            outcome?;
            while let Some(call) = self.control.next_call()? {
                self.handle(call)?;
            }
        }
        self.expire_waiting()?;
        self.advance_forwards()?;
        self.continue_shutdown()
    }

    fn wait_for_events(&self) -> io::Result<Ready> {
        let (control, control_flags) = self.control.interest();
        let mut watched = vec![
            PollFd::from_borrowed_fd(control, control_flags),
            PollFd::from_borrowed_fd(self.children.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.uevents.as_fd(), PollFlags::IN),
        ];
        let fixed = watched.len();
        let streams = self.processes.values().flat_map(Process::interests);
        let streams = streams.chain(self.forwards.interests());
        watched.extend(streams.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        let timeout = self
            .next_deadline()
            .map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened: Vec<PollFlags> = watched.iter().map(PollFd::revents).collect();
        let [control, children, devices] = [0, 1, 2].map(|index| !happened[index].is_empty());
        Ok(Ready {
            control,
            children,
            devices,
            streams: happened[fixed..].to_vec(),
        })
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline);
        let reports = self.processes.iter();
        let reports = reports.filter_map(|(key, process)| process.report_at(key));
        waiting
            .chain(reports)
            .chain(self.shutdown.as_ref().map(Shutdown::deadline))
            .chain(self.forwards.next_deadline())
            .min()
    }

    /// `happened` is in the order of [`Agent::wait_for_events`]; nothing has moved since.
    fn pump_streams(&mut self, happened: Vec<PollFlags>) {
        let mut happened = happened.into_iter();
        for process in self.processes.values_mut() {
            process.wake(&mut happened, &mut self.scratch);
        }
        self.forwards.wake(&mut happened, &mut self.scratch);
    }

    /// Collects every child that has ended: ours, and orphans that became ours.
    fn reap(&mut self) -> io::Result<()> {
        while self.children.read_signal()?.is_some() {}
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: WaitStatus) {
        if self.pod_init == Some(pid) {
            self.pod_init = None;
        }
        // Others are launches that failed.
        let found = self
            .processes
            .iter_mut()
            .find(|(_, it)| it.is_running() && it.pid == pid);
        let Some((key, process)) = found else { return };
        let signal = status.terminating_signal().unwrap_or(0);
        let exit_code = status.exit_status().unwrap_or(128 + signal);
        let Some(container) = self.containers.get_mut(&key.container_id) else {
            return;
        };
        let oom_kills = container.cgroup.oom_kills();
        process.end(
            exit_code,
            signal.unsigned_abs(),
            oom_kills,
            &mut self.scratch,
        );
        if key.exec_id.is_empty() {
            container.phase = Phase::Ended;
            // In a pid namespace of its own they have gone with it; in a shared one they have not.
            if let Err(error) = container.cgroup.kill() {
                eprintln!("lightvm-agent: could not end the rest of a container: {error}");
            }
        }
    }

    /// Tells the host about processes that have ended, and forgets those of which nothing more comes.
    fn report_ends(&mut self) -> io::Result<()> {
        for (key, process) in &mut self.processes {
            if let Some(report) = process.report(key) {
                self.control.send(0, Body::Exited(report))?;
            }
        }
        self.processes.retain(|_, process| !process.is_over());
        Ok(())
    }

    /// Answers a call.
    pub(crate) fn reply(&mut self, id: u64, body: Body) -> io::Result<()> {
        self.control.send(id, body)
    }

    /// Sends what is still queued before the guest goes.
    pub fn say_goodbye(&mut self, deadline: Duration) -> io::Result<()> {
        self.control.flush_until(Instant::now() + deadline)
    }
}

/// What poll has found.
struct Ready {
    control: bool,
    children: bool,
    devices: bool,
    streams: Vec<PollFlags>,
}

fn hello() -> Hello {
    let now = clock_gettime(ClockId::Boottime);
    let nanoseconds = now
        .tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec);
    Hello {
        protocol_version: AGENT_PROTOCOL_VERSION,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_nanoseconds: nanoseconds.unsigned_abs(),
        kernel_release: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
    }
}

impl Paths {
    /// As they are in a guest.
    pub fn of_guest() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            state: "/run/lightvm/containers".into(),
            cgroups: "/sys/fs/cgroup".into(),
            platform_devices: "/sys/bus/platform/devices".into(),
            forgone_memory: "/sys/module/noxs_memory/parameters/forgo".into(),
            processors: "/sys/devices/system/cpu".into(),
        }
    }
}
