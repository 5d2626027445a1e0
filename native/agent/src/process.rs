// SPDX-License-Identifier: Apache-2.0
//! Processes that the host has asked for, from their streams to the report of their end.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use lightvm_protocol::AGENT_STREAM_PORT;
use lightvm_protocol::agent::{Process as Description, ProcessExited, Stream, StreamHello};
use lightvm_protocol::framing::encode_frame;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::error::{CallError, During};
use crate::relay::Relay;
use crate::vsock::Host;

/// Which process: the container's first one has an empty `exec_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Its container.
    pub container_id: String,
    /// Empty, or the host's name for an additional process.
    pub exec_id: String,
}

/// A process that has been started.
#[derive(Debug)]
pub struct Process {
    /// In the guest's pid namespace.
    pub pid: Pid,
    input: Option<Relay>,
    outputs: Vec<Relay>,
    /// Victims of its cgroup when it started.
    pub oom_kills_before: u64,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Instant,
    exit_code: i32,
    signal: u32,
    out_of_memory: bool,
}

/// The streams of a process before it runs: connections to the host, and what it gets itself.
#[derive(Debug)]
pub struct Streams {
    /// Ours and the process's, in the order stdin, stdout, stderr. Empty with a terminal.
    pub theirs: Vec<OwnedFd>,
    input: Option<Relay>,
    outputs: Vec<Relay>,
    /// What a terminal will be connected to: the host's stdin and stdout connections.
    terminal: Option<(Option<OwnedFd>, OwnedFd)>,
}

impl Streams {
    /// Opens the connections that `process` needs.
    pub fn open(
        host: &dyn Host,
        key: &ProcessKey,
        process: &Description,
    ) -> Result<Self, CallError> {
        let connect = |stream| {
            connect(host, key, stream).during(format_args!("connect {}", stream.as_str_name()))
        };
        let stdin = if process.stdin {
            Some(connect(Stream::Stdin)?)
        } else {
            None
        };
        let stdout = connect(Stream::Stdout)?;
        if process.terminal {
            let terminal = Some((stdin, stdout));
            return Ok(Self {
                theirs: Vec::new(),
                input: None,
                outputs: Vec::new(),
                terminal,
            });
        }
        let stderr = connect(Stream::Stderr)?;
        Self::pipes(stdin, stdout, stderr).during("make the process's pipes")
    }

    /// Pipes between process and connections: programs open /dev/stdout, which a socket refuses.
    fn pipes(stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let mut theirs = Vec::new();
        let mut input = None;
        match stdin {
            Some(connection) => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                theirs.push(read);
                input = Some(Relay::new(connection, write)?);
            }
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                theirs.push(openat(CWD, "/dev/null", flags, Mode::empty())?);
            }
        }
        let mut outputs = Vec::new();
        for connection in [stdout, stderr] {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            theirs.push(write);
            outputs.push(Relay::new(read, connection)?);
        }
        Ok(Self {
            theirs,
            input,
            outputs,
            terminal: None,
        })
    }

    /// Connects the terminal's master end.
    fn attach(&mut self, master: OwnedFd) -> io::Result<()> {
        if let Some((stdin, stdout)) = self.terminal.take() {
            if let Some(connection) = stdin {
                self.input = Some(Relay::new(connection, master.try_clone()?)?);
            }
            self.outputs.push(Relay::new(master, stdout)?);
        }
        Ok(())
    }
}

fn connect(host: &dyn Host, key: &ProcessKey, stream: Stream) -> io::Result<OwnedFd> {
    let connection = host.connect(AGENT_STREAM_PORT)?;
    let hello = StreamHello {
        container_id: key.container_id.clone(),
        exec_id: key.exec_id.clone(),
        stream: stream.into(),
    };
    let mut frame = Vec::new();
    encode_frame(&hello, &mut frame).map_err(io::Error::other)?;
    let mut rest = &frame[..];
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&connection, rest)?..];
    }
    Ok(connection)
}

impl Process {
    /// A process that runs, with its streams.
    pub fn new(
        pid: Pid,
        mut streams: Streams,
        terminal: Option<OwnedFd>,
        oom_kills_before: u64,
    ) -> io::Result<Self> {
        if let Some(master) = terminal {
            streams.attach(master)?;
        }
        let Streams { input, outputs, .. } = streams;
        Ok(Self {
            pid,
            input,
            outputs,
            oom_kills_before,
            ended: None,
        })
    }

    /// It has not ended yet.
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Every stream, in an order that stays the same while none is moved.
    pub fn relays(&self) -> impl Iterator<Item = &Relay> {
        self.input.iter().chain(&self.outputs)
    }

    /// The same streams in the same order.
    pub fn relays_mut(&mut self) -> impl Iterator<Item = &mut Relay> {
        self.input.iter_mut().chain(&mut self.outputs)
    }

    /// It has ended; what it has written is still on its way.
    pub fn end(&mut self, exit_code: i32, signal: u32, oom_kills: u64, scratch: &mut [u8]) {
        const KILLED: u32 = 9;
        let out_of_memory = signal == KILLED && oom_kills > self.oom_kills_before;
        self.ended = Some(Ended {
            at: Instant::now(),
            exit_code,
            signal,
            out_of_memory,
        });
        self.input = None;
        for output in &mut self.outputs {
            output.end_when_empty();
            output.pump(scratch);
        }
    }

    /// The report of its end, once there is nothing more to come from it.
    pub fn report(&self, key: &ProcessKey) -> Option<ProcessExited> {
        let ended = self.ended?;
        if !self.outputs.iter().all(Relay::is_finished) {
            return None;
        }
        Some(ProcessExited {
            container_id: key.container_id.clone(),
            exec_id: key.exec_id.clone(),
            exit_code: ended.exit_code,
            signal: ended.signal,
            out_of_memory: ended.out_of_memory,
            age_nanoseconds: u64::try_from(ended.at.elapsed().as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
