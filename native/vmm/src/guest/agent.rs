// SPDX-License-Identifier: Apache-2.0
//! The control connection of the agent: calls go one way, replies and events the other.
//!
//! ```text
//!            guest connects           Hello
//!   absent ────────────────► greeting ─────► connected
//!      ▲                        │                │ closed, reset, or not our protocol
//!      └────────────────────────┴────────────────┘
//! ```
//!
//! What the agent sends is the guest's word. A message that does not decode, a reply to no call and
//! an event before the hello end the connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lightvm_devices::ConnectionId;
use lightvm_protocol::AGENT_PROTOCOL_VERSION;
use lightvm_protocol::agent::agent_message::Body;
use lightvm_protocol::agent::host_message::Call;
use lightvm_protocol::agent::{AgentMessage, Hello, HostMessage, ProcessExited};
use lightvm_protocol::framing::{FrameDecoder, MAX_MESSAGE_BYTES, encode_frame};
use lightvm_protocol::vmm::failure::Code;

use super::link::GuestLink;
use crate::failure::{Refusal, chain, invalid};
use crate::poller::Token;

/// How long a call may take when the caller sets no limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of calls that wait for the guest to take them.
const MAX_QUEUED_BYTES: usize = 2 * MAX_MESSAGE_BYTES;

/// Who waits for a reply: a control connection, and the id of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) connection: Token,
    pub(crate) id: u64,
}

/// What the agent, or its silence, has brought.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AgentEvent {
    /// The agent has said hello.
    Ready(Hello),
    /// A process has ended.
    Exited(ProcessExited),
    /// The reply to a call, or why there is none.
    Reply(Caller, Call, Result<AgentMessage, Refusal>),
    /// The connection is over, for this reason.
    Lost(String),
}

#[derive(Debug)]
struct PendingCall {
    caller: Caller,
    call: Call,
    timeout: Duration,
    deadline: Instant,
}

#[derive(Debug)]
struct Link {
    connection: ConnectionId,
    decoder: FrameDecoder,
    greeted: bool,
    /// Bytes that the guest has not taken yet.
    queued: Vec<u8>,
}

/// The agent, as the VMM sees it.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    link: Option<Link>,
    hello: Option<Hello>,
    pending: BTreeMap<u64, PendingCall>,
    last_id: u64,
}

impl Agent {
    /// What the agent said first, once it has.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether this is the control connection.
    pub(crate) fn owns(&self, connection: ConnectionId) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.connection == connection)
    }

    /// The guest opened a control connection. It gets one in its life.
    pub(crate) fn opened(&mut self, connection: ConnectionId, guest: &mut impl GuestLink) {
        if self.link.is_some() || self.hello.is_some() {
            guest.reset(connection);
            return;
        }
        let (decoder, queued) = (FrameDecoder::new(), Vec::new());
        self.link = Some(Link {
            connection,
            decoder,
            greeted: false,
            queued,
        });
    }

    /// Takes what has come on the control connection.
    pub(crate) fn receive(&mut self, guest: &mut impl GuestLink, events: &mut Vec<AgentEvent>) {
        let Some(link) = &mut self.link else { return };
        let bytes = guest.received(link.connection);
        let count = bytes.len();
        link.decoder.push(bytes);
        guest.consume(link.connection, count);
        loop {
            let Some(link) = &mut self.link else { return };
            let problem = match link.decoder.next_message::<AgentMessage>() {
                Ok(None) => return,
                Ok(Some(message)) => self.dispatch(message, events).err(),
                Err(error) => Some(chain(&error)),
            };
            if let Some(problem) = problem {
                let reason = format!("the agent broke its protocol: {problem}");
                self.give_up(&reason, guest, events);
                return;
            }
        }
    }

    fn dispatch(
        &mut self,
        message: AgentMessage,
        events: &mut Vec<AgentEvent>,
    ) -> Result<(), String> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        match message {
            AgentMessage {
                id: 0,
                body: Some(Body::Hello(hello)),
            } if !link.greeted => {
                if hello.protocol_version != AGENT_PROTOCOL_VERSION {
                    let version = hello.protocol_version;
                    return Err(format!("version {version}, not {AGENT_PROTOCOL_VERSION}"));
                }
                link.greeted = true;
                self.hello = Some(hello.clone());
                events.push(AgentEvent::Ready(hello));
            }
            _ if !link.greeted => return Err("its first message is no hello".into()),
            AgentMessage {
                id: 0,
                body: Some(Body::Exited(exited)),
            } => {
                events.push(AgentEvent::Exited(exited));
            }
            AgentMessage { id: 0, .. } => return Err("an event that is none".into()),
            AgentMessage {
                body: None | Some(Body::Hello(_) | Body::Exited(_)),
                ..
            } => {
                return Err("a reply that is none".into());
            }
            // A reply that nobody waits for any more has come too late.
            reply if reply.id > self.last_id => return Err("a reply to no call".into()),
            reply => {
                if let Some(PendingCall { caller, call, .. }) = self.pending.remove(&reply.id) {
                    events.push(AgentEvent::Reply(caller, call, Ok(reply)));
                }
            }
        }
        Ok(())
    }

    /// Sends a call to the agent; [`AgentEvent::Reply`] follows. 0 is the usual time limit.
    ///
    /// # Errors
    ///
    /// Nothing was sent: the call is empty or too long, there is no agent, or it takes nothing.
    pub(crate) fn call(
        &mut self,
        caller: Caller,
        mut message: HostMessage,
        timeout_milliseconds: u32,
        guest: &mut impl GuestLink,
    ) -> Result<(), Refusal> {
        let call = message
            .call
            .clone()
            .ok_or_else(|| invalid("a call to the agent without one"))?;
        let unreachable = |message: &str| Refusal::new(Code::AgentUnreachable, message);
        let link = self.link.as_mut().filter(|link| link.greeted);
        let link = link.ok_or_else(|| unreachable("the agent is not connected"))?;
        if link.queued.len() > MAX_QUEUED_BYTES {
            return Err(unreachable("the agent does not take its calls"));
        }
        message.id = self.last_id + 1;
        encode_frame(&message, &mut link.queued).map_err(|error| invalid(chain(&error)))?;
        self.last_id = message.id;
        let timeout = match timeout_milliseconds {
            0 => DEFAULT_TIMEOUT,
            limit => Duration::from_millis(limit.into()),
        };
        let deadline = Instant::now() + timeout;
        self.pending.insert(
            message.id,
            PendingCall {
                caller,
                call,
                timeout,
                deadline,
            },
        );
        self.flush(guest);
        Ok(())
    }

    /// Sends on what waits, after the guest has made room.
    pub(crate) fn flush(&mut self, guest: &mut impl GuestLink) {
        let Some(link) = &mut self.link else { return };
        if link.queued.is_empty() {
            return;
        }
        match guest.send(link.connection, &link.queued) {
            Ok(count) => drop(link.queued.drain(..count)),
            // The end of the connection is told by an event of its own, or by the time limits.
            Err(_) => link.queued.clear(),
        }
    }

    /// The connection is over, or must be.
    pub(crate) fn give_up(
        &mut self,
        reason: &str,
        guest: &mut impl GuestLink,
        events: &mut Vec<AgentEvent>,
    ) {
        let Some(link) = self.link.take() else { return };
        guest.reset(link.connection);
        self.fail_calls(&Refusal::new(Code::AgentUnreachable, reason), events);
        // An agent that never said hello may try again.
        if link.greeted {
            events.push(AgentEvent::Lost(reason.into()));
        }
    }

    /// Fails every call that waits for a reply.
    pub(crate) fn fail_calls(&mut self, refusal: &Refusal, events: &mut Vec<AgentEvent>) {
        for (_, PendingCall { caller, call, .. }) in std::mem::take(&mut self.pending) {
            events.push(AgentEvent::Reply(caller, call, Err(refusal.clone())));
        }
    }

    /// When the next call runs out of time.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    /// Fails the calls that have run out of time.
    pub(crate) fn expire(&mut self, now: Instant, events: &mut Vec<AgentEvent>) {
        let late: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for PendingCall {
            caller,
            call,
            timeout,
            ..
        } in late
            .iter()
            .filter_map(|id| self.pending.remove(id))
            .collect::<Vec<_>>()
        {
            let message = format!("the agent did not answer within {} ms", timeout.as_millis());
            let refusal = Refusal::new(Code::AgentUnreachable, message);
            events.push(AgentEvent::Reply(caller, call, Err(refusal)));
        }
    }
}

#[cfg(test)]
mod tests;
