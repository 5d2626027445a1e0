// SPDX-License-Identifier: Apache-2.0
//! The VMM process: one thread, one loop, everything by events.

mod calls;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use lightvm_protocol::vmm::VmmMessage;
use lightvm_protocol::vmm::vmm_message::Body;
use nix::sys::signalfd::SignalFd;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::connection::{Connection, ControlError, Greeting, Hello, HelloError};
use crate::files::HandedFiles;
use crate::guest::{Caller, Effect};
use crate::phase::Phase;
use crate::poller::{Interest, PolledSocket, Poller, Ready, Token};
use crate::report::line;
use crate::resident::ResidentMemory;

const LISTENER: Token = Token(0);
const SIGNALS: Token = Token(1);
const EVENT_CHANNELS: Token = Token(2);
const INHERITED: Token = Token(3);

/// lightvmd's connections at once; more wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 200;

/// What a VMM is started with.
pub(crate) struct Inheritance {
    /// The connected control socket.
    pub(crate) control: OwnedFd,
    /// Where other connections come in.
    pub(crate) listener: OwnedFd,
    /// SIGTERM and SIGINT, blocked otherwise.
    pub(crate) signals: SignalFd,
    /// This process's memory.
    pub(crate) memory: ResidentMemory,
}

/// Everything that this process holds.
pub(crate) struct Process {
    poller: Rc<Poller>,
    listener: OwnedFd,
    signals: SignalFd,
    memory: ResidentMemory,
    connections: BTreeMap<Token, Connection>,
    next_token: u64,
    files: HandedFiles,
    phase: Phase,
    quitting: bool,
}

impl Process {
    /// A process that has been asked for nothing yet.
    pub(crate) fn new(inheritance: Inheritance) -> io::Result<Self> {
        let Inheritance {
            control,
            listener,
            signals,
            memory,
        } = inheritance;
        let poller = Rc::new(Poller::new()?);
        poller.add(listener.as_fd(), LISTENER, Interest::READ)?;
        poller.add(signals.as_fd(), SIGNALS, Interest::READ)?;
        let control = PolledSocket::new(control, INHERITED, &poller)?;
        Ok(Self {
            poller,
            listener,
            signals,
            memory,
            connections: BTreeMap::from([(INHERITED, Connection::Hello(Hello::new(control)))]),
            next_token: INHERITED.0 + 1,
            files: HandedFiles::default(),
            phase: Phase::Started,
            quitting: false,
        })
    }

    /// Runs until it is told to quit, or until nobody is left who could tell it anything.
    ///
    /// # Errors
    ///
    /// The process can't go on: the loop itself failed, or the way into the jail.
    pub(crate) fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut ready = Vec::new();
        while !self.quitting {
            ready.clear();
            self.poller.wait(self.next_deadline(), &mut ready)?;
            // Connections before the guest: a stream that a client has opened before its exec is
            // known when the guest answers to the exec.
            for event in ready.iter().filter(|event| event.token != EVENT_CHANNELS) {
                self.handle(*event)?;
            }
            if let Phase::Running(guest) = &mut self.phase {
                if ready.iter().any(|event| event.token == EVENT_CHANNELS) {
                    guest.ring();
                }
                guest.tick(Instant::now());
            }
            self.settle();
        }
        if let Phase::Running(guest) = &mut self.phase {
            guest.end_output();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running(guest) => guest.next_deadline(),
            _ => None,
        }
    }

    fn handle(&mut self, ready: Ready) -> Result<(), Box<dyn Error>> {
        match ready.token {
            LISTENER => self.accept(),
            SIGNALS => {
                if let Some(signal) = self.signals.read_signal()? {
                    line(format_args!("quitting on signal {}", signal.ssi_signo));
                    self.quitting = true;
                }
                Ok(())
            }
            token => match self.connections.remove(&token) {
                Some(Connection::Hello(hello)) => {
                    self.greet(token, hello);
                    Ok(self.serve(token)?)
                }
                Some(Connection::Control(mut control)) => {
                    let flushed = control.flush();
                    self.connections.insert(token, Connection::Control(control));
                    match flushed {
                        Ok(()) => Ok(self.serve(token)?),
                        Err(error) => {
                            self.close(token, &error);
                            Ok(())
                        }
                    }
                }
                None => {
                    if let Phase::Running(guest) = &mut self.phase {
                        if !guest.tap_ready(ready) {
                            guest.client_ready(ready);
                        }
                    }
                    Ok(())
                }
            },
        }
    }

    /// Takes new connections, and at once what they have said: see [`Self::run`].
    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        while self.connections.len() < MAX_CONNECTIONS {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            let token = self.next_token();
            let socket = PolledSocket::new(socket, token, &self.poller)?;
            self.greet(token, Hello::new(socket));
            self.serve(token)?;
        }
        Ok(())
    }

    fn next_token(&mut self) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        token
    }

    fn greet(&mut self, token: Token, hello: Hello) {
        match hello.receive() {
            Ok(Greeting::Incomplete(hello)) => {
                self.connections.insert(token, Connection::Hello(hello));
            }
            Ok(Greeting::Control(control)) => {
                self.connections.insert(token, Connection::Control(control));
            }
            Ok(Greeting::Stream(name, client)) => match self.phase.guest() {
                Ok(guest) => guest.add_client(name, client),
                // Dropping the client closes its connection.
                Err(refusal) => line(format_args!("a stream is refused: {}", refusal.message())),
            },
            Ok(Greeting::Files(..)) if !self.can_be_asked() => {
                line(format_args!("files come from nobody"));
            }
            Ok(Greeting::Files(files, socket)) => {
                if !self.files.hold(files) {
                    line(format_args!("a file's token is 0 or in use"));
                } else if let Err(error) = socket.send(&[0]) {
                    line(format_args!("cannot confirm files: {error}"));
                }
            }
            Err(HelloError::Ended) => self.consider_exit(),
            Err(error) => {
                line(format_args!("a connection is refused: {error}"));
                self.consider_exit();
            }
        }
    }

    /// Tells lightvmd what the guest has caused, and lets go of a guest that is gone.
    fn settle(&mut self) {
        if let Phase::Running(guest) = &mut self.phase {
            let effects = guest.take_effects();
            let ended = guest.has_ended();
            self.tell(effects);
            if ended {
                self.conclude();
            }
        }
    }

    fn conclude(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Started) {
            Phase::Running(guest) => {
                let (ended, effects) = guest.conclude();
                self.phase = Phase::Ended(ended);
                self.tell(effects);
            }
            other => self.phase = other,
        }
    }

    fn tell(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(caller, body) => self.send(caller, body),
                Effect::Event(body) => self.broadcast(&VmmMessage {
                    id: 0,
                    body: Some(body),
                }),
            }
        }
    }

    fn broadcast(&mut self, message: &VmmMessage) {
        let mut failed = Vec::new();
        for (token, connection) in &mut self.connections {
            if let Connection::Control(control) = connection {
                failed.extend(control.send(message).err().map(|error| (*token, error)));
            }
        }
        for (token, error) in failed {
            self.close(token, &error);
        }
    }

    /// Answers a caller, if it is still there.
    fn send(&mut self, caller: Caller, body: Body) {
        let message = VmmMessage {
            id: caller.id,
            body: Some(body),
        };
        if let Some(Connection::Control(control)) = self.connections.get_mut(&caller.connection) {
            if let Err(error) = control.send(&message) {
                self.close(caller.connection, &error);
            }
        }
    }

    fn close(&mut self, token: Token, error: &ControlError) {
        if !matches!(error, ControlError::Ended) {
            line(format_args!("a control connection is closed: {error}"));
        }
        self.connections.remove(&token);
        if !self.can_be_asked() {
            // A next lightvmd names none of them, and what is behind them may be wanted elsewhere.
            self.files.forget();
        }
        self.consider_exit();
    }

    /// A VMM without a domain is of use only to whoever can still ask for one.
    fn consider_exit(&mut self) {
        if matches!(self.phase, Phase::Started) && !self.can_be_asked() {
            self.quitting = true;
        }
    }

    /// Whether there is a connection over which a call may come.
    fn can_be_asked(&self) -> bool {
        let can_ask = |(token, connection): (&Token, &Connection)| {
            *token == INHERITED || matches!(connection, Connection::Control(_))
        };
        self.connections.iter().any(can_ask)
    }
}
