// SPDX-License-Identifier: Apache-2.0
//! The host's calls, one function each.

use std::io;

use lightvm_protocol::agent::{
    ConfigureSandbox, Empty, Exec, ForgoMemory, ForgoProcessors, GetStats, HostMessage,
    ProcessStarted, RemoveContainer, ResizeTerminal, Signal, StartContainer, UpdateResources,
    agent_message::Body, failure::Code, host_message::Call,
};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::agent::Agent;
use crate::container::{Container, Phase};
use crate::error::{CallError, During};
use crate::launcher::Surroundings;
use crate::process::{Process, ProcessKey, Streams};
use crate::sandbox;
use crate::shrink;
use crate::shutdown::Shutdown;
use crate::stats;
use crate::user_namespace::UserNamespace;
use crate::waiting::DeviceCall;

/// Highest signal number of Linux.
const MAX_SIGNAL: u32 = 64;

const SIGKILL: u32 = 9;

impl Agent {
    /// Does what the host asks; the reply may come later.
    pub(crate) fn handle(&mut self, message: HostMessage) -> io::Result<()> {
        let id = message.id;
        let outcome = match message.call {
            Some(Call::CreateContainer(request)) => {
                return self.do_or_wait(id, DeviceCall::CreateContainer(Box::new(request)));
            }
            Some(Call::ConfigureNetwork(request)) => {
                return self.do_or_wait(id, DeviceCall::ConfigureNetwork(request));
            }
            Some(Call::PortForward(request)) => match self.forwards.begin(id, request) {
                Ok(()) => return self.advance_forwards(),
                Err(error) => Err(error),
            },
            Some(call) => self.call(call),
            None => Err(CallError::invalid("this agent does not know the call")),
        };
        self.answer(id, outcome)
    }

    pub(crate) fn answer(&mut self, id: u64, outcome: Result<Body, CallError>) -> io::Result<()> {
        self.reply(
            id,
            outcome.unwrap_or_else(|error| Body::Failure(error.into())),
        )
    }

    fn call(&mut self, call: Call) -> Result<Body, CallError> {
        let done = |()| Body::Done(Empty {});
        if self.shutdown.is_some() && !matches!(call, Call::Shutdown(_) | Call::Ping(_)) {
            return Err(CallError::precondition("the guest is shutting down"));
        }
        match call {
            Call::ConfigureSandbox(settings) => self.configure_sandbox(&settings).map(done),
            Call::StartContainer(request) => self.start_container(&request),
            Call::Signal(request) => self.signal(&request).map(done),
            Call::RemoveContainer(request) => self.remove_container(&request).map(done),
            Call::Exec(request) => self.exec(&request),
            Call::GetStats(request) => self.get_stats(&request),
            Call::UpdateResources(request) => self.update_resources(&request).map(done),
            Call::ForgoMemory(ForgoMemory { bytes }) => {
                shrink::forgo_memory(&self.paths.forgone_memory, bytes).map(done)
            }
            Call::ForgoProcessors(ForgoProcessors { left }) => {
                shrink::forgo_processors(&self.paths.processors, left).map(done)
            }
            Call::Shutdown(_) => self.begin_shutdown().map(done),
            Call::Ping(_) => Ok(done(())),
            Call::ResizeTerminal(request) => self.resize_terminal(&request).map(done),
            Call::CreateContainer(_) | Call::ConfigureNetwork(_) | Call::PortForward(_) => {
                Err(CallError::internal("this call takes its own way"))
            }
        }
    }

    fn configure_sandbox(&mut self, settings: &ConfigureSandbox) -> Result<(), CallError> {
        sandbox::configure(settings)?;
        if let Some(wanted) = &settings.user_namespace {
            let namespace = UserNamespace::create(&self.paths.program, wanted)?;
            sandbox::give_to(namespace.ids.root())?;
            self.user_namespace = Some(namespace);
        }
        Ok(())
    }

    fn container(&self, id: &str) -> Result<&Container, CallError> {
        let none = || CallError::not_found(format!("there is no container {id}"));
        self.containers.get(id).ok_or_else(none)
    }

    fn start_container(&mut self, request: &StartContainer) -> Result<Body, CallError> {
        let id = &request.container_id;
        let container = self.container(id)?;
        if container.phase != Phase::Created {
            return Err(CallError::precondition(format!(
                "the container {id} has been started"
            )));
        }
        let key = ProcessKey {
            container_id: id.clone(),
            exec_id: String::new(),
        };
        let launch = container.launch_first()?;
        let streams = Streams::open(&*self.host, &key, &launch.process)?;
        let oom_kills = container.cgroup.oom_kills();
        let neighbour = self.neighbour(&container.isolation())?;
        // Looked up anew: the neighbour may just have been started.
        let container = self.container(id)?;
        let started = self.launcher.start(
            &launch,
            &streams.theirs,
            neighbour,
            self.surroundings(container),
        )?;
        let process = Process::new(started.pid, streams, started.terminal, oom_kills)
            .during("connect the process's streams")?;
        if let Some(container) = self.containers.get_mut(id) {
            container.phase = Phase::Started;
        }
        Ok(self.started(key, process))
    }

    fn exec(&mut self, request: &Exec) -> Result<Body, CallError> {
        let Exec {
            container_id,
            exec_id,
            process,
        } = request;
        let container = self.container(container_id)?;
        let neighbour = self.first_process(container_id)?;
        let key = ProcessKey {
            container_id: container_id.clone(),
            exec_id: exec_id.clone(),
        };
        if exec_id.is_empty() || self.processes.contains_key(&key) {
            return Err(CallError::new(
                Code::Exists,
                format!("the process \"{exec_id}\" exists"),
            ));
        }
        let process = process
            .as_ref()
            .ok_or_else(|| CallError::invalid("there is no process to execute"))?;
        let launch = container.launch(process)?;
        let streams = Streams::open(&*self.host, &key, process)?;
        let oom_kills = container.cgroup.oom_kills();
        let started = self.launcher.start(
            &launch,
            &streams.theirs,
            Some(neighbour),
            self.surroundings(container),
        )?;
        let process = Process::new(started.pid, streams, started.terminal, oom_kills)
            .during("connect the process's streams")?;
        Ok(self.started(key, process))
    }

    fn surroundings<'a>(&'a self, container: &'a Container) -> Surroundings<'a> {
        Surroundings {
            cgroup: &container.cgroup,
            user_namespace: self.user_namespace.as_ref(),
        }
    }

    fn started(&mut self, key: ProcessKey, process: Process) -> Body {
        let pid = process.pid.as_raw_nonzero().get().unsigned_abs();
        self.processes.insert(key, process);
        Body::Started(ProcessStarted { pid })
    }

    fn signal(&mut self, request: &Signal) -> Result<(), CallError> {
        if request.signal > MAX_SIGNAL {
            return Err(CallError::invalid(format!(
                "there is no signal {}",
                request.signal
            )));
        }
        let container = self.container(&request.container_id)?;
        if container.phase != Phase::Started {
            let message = format!("the container {} does not run", request.container_id);
            return Err(CallError::precondition(message));
        }
        if request.all && request.exec_id.is_empty() {
            return signal_all(container, request.signal);
        }
        let process = self.running(&request.container_id, &request.exec_id)?;
        let pid = process.pid.as_raw_nonzero().get();
        // The launch has made it the leader of a session, and so of a group.
        let target = if request.all { -pid } else { pid };
        send_signal(target, request.signal)
    }

    fn running(&self, container_id: &str, exec_id: &str) -> Result<&Process, CallError> {
        let key = ProcessKey {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
        };
        let process = self.processes.get(&key);
        process
            .filter(|process| process.is_running())
            .ok_or_else(|| CallError::not_found(format!("there is no process \"{exec_id}\"")))
    }

    fn resize_terminal(&self, request: &ResizeTerminal) -> Result<(), CallError> {
        let (width, height) = (request.width, request.height);
        let size = u16::try_from(width).ok().zip(u16::try_from(height).ok());
        let (columns, rows) = size
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .ok_or_else(|| CallError::invalid(format!("no terminal has {width} x {height}")))?;
        self.running(&request.container_id, &request.exec_id)?
            .resize(columns, rows)
    }

    /// Answers the calls whose connections are made or refused.
    pub(crate) fn advance_forwards(&mut self) -> io::Result<()> {
        for (id, outcome) in self.forwards.advance(&*self.host) {
            self.answer(id, outcome)?;
        }
        Ok(())
    }

    fn remove_container(&mut self, request: &RemoveContainer) -> Result<(), CallError> {
        let id = &request.container_id;
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        if container.phase == Phase::Started {
            return Err(CallError::precondition(format!("the container {id} runs")));
        }
        container.remove(&mut self.images)?;
        self.containers.remove(id);
        // Output that nobody has fetched goes with its container.
        self.processes.retain(|key, _| key.container_id != *id);
        Ok(())
    }

    fn get_stats(&self, request: &GetStats) -> Result<Body, CallError> {
        let containers = match request.container_id.as_str() {
            "" => self
                .containers
                .values()
                .map(Container::stats)
                .collect::<Result<_, _>>()?,
            id => vec![self.container(id)?.stats()?],
        };
        stats::of_guest(containers, &self.paths.cgroups).map(Body::Stats)
    }

    fn update_resources(&self, request: &UpdateResources) -> Result<(), CallError> {
        let container = self.container(&request.container_id)?;
        match &request.resources {
            Some(resources) => container.cgroup.limit(resources),
            None => Err(CallError::invalid("there are no resources to update")),
        }
    }

    fn begin_shutdown(&mut self) -> Result<(), CallError> {
        if self.shutdown.is_none() {
            self.shutdown = Some(Shutdown::begin());
            self.signal_every_container(nix::libc::SIGTERM.unsigned_abs());
        }
        Ok(())
    }

    /// Best effort: what can't be signalled is killed later, and the guest goes in any case.
    pub(crate) fn signal_every_container(&self, signal: u32) {
        for container in self
            .containers
            .values()
            .filter(|it| it.phase == Phase::Started)
        {
            if let Err(error) = signal_all(container, signal) {
                eprintln!("lightvm-agent: {error}");
            }
        }
    }
}

fn signal_all(container: &Container, signal: u32) -> Result<(), CallError> {
    if signal == SIGKILL {
        return container
            .cgroup
            .kill()
            .during("kill the container's processes");
    }
    for pid in container
        .cgroup
        .processes()
        .during("list the container's processes")?
    {
        send_signal(pid, signal)?;
    }
    Ok(())
}

/// `pid` as kill(2) takes it: negative for a group.
fn send_signal(pid: i32, signal: u32) -> Result<(), CallError> {
    let what = format!("send signal {signal} to process {pid}");
    let number = i32::try_from(signal).during(&what)?;
    let outcome = match nix::sys::signal::Signal::try_from(number) {
        _ if number == 0 => kill(Pid::from_raw(pid), None),
        Ok(signal) => kill(Pid::from_raw(pid), signal),
        Err(error) => Err(error),
    };
    match outcome {
        // It has just ended, which its report will say.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).during(what),
    }
}
