// SPDX-License-Identifier: Apache-2.0
//! Processes that the host has asked for, from their streams to the report of their end.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lightvm_protocol::agent::{Process as Description, ProcessExited, Stream, StreamHello};
use rustix::event::PollFlags;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::{CallError, During};
use crate::relay::{OnLost, Relay};
use crate::vsock::{Host, open_stream};

/// How long the end of a container's process is kept back for its last output. A log that can't be
/// written may take that much later; the container has ended all the same.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

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
    /// The master end of its terminal.
    terminal: Option<OwnedFd>,
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
    told: bool,
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
    on_lost: OnLost,
}

impl Streams {
    /// Opens the connections that `process` needs.
    pub fn open(
        host: &dyn Host,
        key: &ProcessKey,
        process: &Description,
    ) -> Result<Self, CallError> {
        // A container goes on when its log is lost; an exec is there for whoever reads it.
        let on_lost = match key.exec_id.as_str() {
            "" => OnLost::Discard,
            _ => OnLost::Close,
        };
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
                on_lost,
            });
        }
        let stderr = connect(Stream::Stderr)?;
        Self::pipes(stdin, [stdout, stderr], on_lost).during("make the process's pipes")
    }

    /// Pipes between process and connections: programs open /dev/stdout, which a socket refuses.
    fn pipes(
        stdin: Option<OwnedFd>,
        connections: [OwnedFd; 2],
        on_lost: OnLost,
    ) -> io::Result<Self> {
        let mut theirs = Vec::new();
        let mut input = None;
        match stdin {
            Some(connection) => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                theirs.push(read);
                input = Some(Relay::new(connection, write, OnLost::Discard)?);
            }
            None => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                theirs.push(openat(CWD, "/dev/null", flags, Mode::empty())?);
            }
        }
        let mut outputs = Vec::new();
        for connection in connections {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            theirs.push(write);
            outputs.push(Relay::new(read, connection, on_lost)?);
        }
        Ok(Self {
            theirs,
            input,
            outputs,
            terminal: None,
            on_lost,
        })
    }

    /// Connects the terminal's master end.
    fn attach(&mut self, master: &OwnedFd) -> io::Result<()> {
        if let Some((stdin, stdout)) = self.terminal.take() {
            if let Some(connection) = stdin {
                let relay = Relay::new(connection, master.try_clone()?, OnLost::Discard)?;
                self.input = Some(relay);
            }
            self.outputs
                .push(Relay::new(master.try_clone()?, stdout, self.on_lost)?);
        }
        Ok(())
    }
}

fn connect(host: &dyn Host, key: &ProcessKey, stream: Stream) -> io::Result<OwnedFd> {
    open_stream(
        host,
        &StreamHello {
            container_id: key.container_id.clone(),
            exec_id: key.exec_id.clone(),
            stream: stream.into(),
            ..StreamHello::default()
        },
    )
}

impl Process {
    /// A process that runs, with its streams.
    pub fn new(
        pid: Pid,
        mut streams: Streams,
        terminal: Option<OwnedFd>,
        oom_kills_before: u64,
    ) -> io::Result<Self> {
        if let Some(master) = &terminal {
            streams.attach(master)?;
        }
        let Streams { input, outputs, .. } = streams;
        Ok(Self {
            pid,
            terminal,
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

    /// What its streams wait for before [`Process::wake`].
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.input
            .iter()
            .chain(&self.outputs)
            .flat_map(Relay::interests)
    }

    /// Moves what can be moved; takes what poll has reported for [`Process::interests`].
    pub fn wake(&mut self, happened: &mut impl Iterator<Item = PollFlags>, scratch: &mut [u8]) {
        for relay in self.input.iter_mut().chain(&mut self.outputs) {
            let watched = relay.interests().count();
            let happened: Vec<_> = happened.by_ref().take(watched).collect();
            relay.wake(&happened, scratch);
        }
        // A terminal hangs up when the last descriptor of its master end is closed.
        if self.terminal.is_some() && self.outputs.iter().all(Relay::is_finished) {
            self.terminal = None;
            self.input = None;
        }
    }

    /// Gives its terminal another size.
    pub fn resize(&self, width: u16, height: u16) -> Result<(), CallError> {
        let terminal = self.terminal.as_ref();
        let terminal =
            terminal.ok_or_else(|| CallError::precondition("the process has no terminal"))?;
        let size = Winsize {
            ws_row: height,
            ws_col: width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(terminal, size).during("size the terminal")
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
            told: false,
        });
        self.input = None;
        self.terminal = None;
        for output in &mut self.outputs {
            output.end_when_empty();
            output.pump(scratch);
        }
    }

    /// Nothing more comes of it, and the host knows how it has ended.
    pub fn is_over(&self) -> bool {
        self.has_said_all() && self.ended.is_some_and(|ended| ended.told)
    }

    fn has_said_all(&self) -> bool {
        self.outputs.iter().all(Relay::is_finished)
    }

    /// When [`Process::report`] has something to say whether or not all output is passed on.
    pub fn report_at(&self, key: &ProcessKey) -> Option<Instant> {
        // An exec's output is awaited by whoever asked for it; or nobody wants it, and it is dropped.
        let ended = self
            .ended
            .filter(|ended| key.exec_id.is_empty() && !ended.told);
        ended.map(|ended| ended.at + LAST_OUTPUT)
    }

    /// The report of its end: given once, when nothing more is to come from it or it is time for it.
    pub fn report(&mut self, key: &ProcessKey) -> Option<ProcessExited> {
        let now = Instant::now();
        let is_due = self.has_said_all() || self.report_at(key).is_some_and(|at| at <= now);
        let ended = self.ended.as_mut().filter(|ended| is_due && !ended.told)?;
        ended.told = true;
        let age = now.duration_since(ended.at);
        Some(ProcessExited {
            container_id: key.container_id.clone(),
            exec_id: key.exec_id.clone(),
            exit_code: ended.exit_code,
            signal: ended.signal,
            out_of_memory: ended.out_of_memory,
            age_nanoseconds: u64::try_from(age.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
