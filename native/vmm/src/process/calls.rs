// SPDX-License-Identifier: Apache-2.0
//! Which call goes where.

use std::io;

use lightvm_jail::JailError;
use lightvm_protocol::vmm::client_message::Call;
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{
    AttachFilesystem, AttachNetwork, ClientMessage, Done, Execute, Load, Prepare, State,
};

use super::{EVENT_CHANNELS, Process};
use crate::connection::Connection;
use crate::failure::{Refusal, invalid};
use crate::guest::{Caller, Guest};
use crate::phase::Phase;
use crate::poller::{Interest, Token};
use crate::prepare::{PrepareError, Shell};

/// What a call is answered with; nothing yet if the answer comes as an effect.
type Answer = Result<Option<Body>, Refusal>;

impl Process {
    /// Answers the calls that have come on a control connection.
    pub(super) fn serve(&mut self, token: Token) -> Result<(), JailError> {
        while !self.quitting {
            let Some(Connection::Control(control)) = self.connections.get_mut(&token) else {
                return Ok(());
            };
            match control.next_call() {
                Ok(Some(message)) => self.answer(token, message)?,
                Ok(None) => return Ok(()),
                Err(error) => self.close(token, &error),
            }
        }
        Ok(())
    }

    fn answer(&mut self, connection: Token, message: ClientMessage) -> Result<(), JailError> {
        let caller = Caller {
            connection,
            id: message.id,
        };
        let answer = match message.call {
            Some(call) => self.call(caller, call)?,
            None => Err(invalid("a message without a call")),
        };
        match answer {
            Ok(Some(body)) => self.send(caller, body),
            Ok(None) => {}
            Err(refusal) => self.send(caller, refusal.into()),
        }
        self.settle();
        Ok(())
    }

    fn call(&mut self, caller: Caller, call: Call) -> Result<Answer, JailError> {
        let Self { phase, files, .. } = self;
        Ok(match call {
            Call::Prepare(request) => return self.prepare(&request),
            Call::Load(request) => self.load(&request),
            Call::Execute(request) => self.execute(&request),
            Call::AttachBlock(request) => phase
                .guest()
                .and_then(|guest| guest.attach_block(&request, files))
                .map(Some),
            Call::AttachNetwork(request) => self.attach_network(&request).map(Some),
            Call::AttachFilesystem(request) => self.attach_filesystem(&request).map(Some),
            Call::DetachDevice(request) => phase
                .guest()
                .and_then(|guest| guest.detach(caller, request.device_id))
                .map(|()| None),
            Call::SetContainerLog(request) => phase
                .guest()
                .and_then(|guest| guest.set_container_log(request, files))
                .map(Some),
            Call::CallAgent(request) => phase
                .guest()
                .and_then(|guest| guest.call_agent(caller, request))
                .map(|()| None),
            Call::PowerOff(_) => phase.guest().and_then(Guest::power_off).map(Some),
            Call::GetState(_) => self.state().map(|state| Some(Body::State(state))),
            Call::Quit(_) => {
                self.quitting = true;
                Ok(Some(Body::Done(Done {})))
            }
        })
    }

    fn prepare(&mut self, request: &Prepare) -> Result<Answer, JailError> {
        if !matches!(self.phase, Phase::Started) {
            return Ok(Err(self.phase.refuse_transition()));
        }
        match Shell::prepare(request) {
            Ok((shell, prepared)) => {
                self.phase = Phase::Prepared(shell);
                Ok(Ok(Some(Body::Prepared(prepared))))
            }
            Err(PrepareError::Refused(refusal)) => Ok(Err(refusal)),
            Err(PrepareError::Jail(error)) => Err(error),
        }
    }

    fn load(&mut self, request: &Load) -> Answer {
        match &mut self.phase {
            Phase::Prepared(shell) => {
                let loaded = shell.load(request, &mut self.files)?;
                Ok(Some(Body::Loaded(loaded)))
            }
            other => Err(other.refuse_transition()),
        }
    }

    fn execute(&mut self, request: &Execute) -> Answer {
        let (guest, executed) = match &mut self.phase {
            Phase::Prepared(shell) => shell.execute(request, &mut self.files)?,
            other => return Err(other.refuse_transition()),
        };
        let channels = guest.event_channels();
        let added = self.poller.add(channels, EVENT_CHANNELS, Interest::READ);
        self.phase = Phase::Running(Box::new(guest));
        added.map_err(internal)?;
        Ok(Some(Body::Executed(executed)))
    }

    fn attach_network(&mut self, request: &AttachNetwork) -> Result<Body, Refusal> {
        let token = self.next_token();
        let guest = self.phase.guest()?;
        guest.attach_network(request, &mut self.files, &self.poller, token)
    }

    fn attach_filesystem(&mut self, request: &AttachFilesystem) -> Result<Body, Refusal> {
        let guest = self.phase.guest()?;
        guest.attach_filesystem(request, &mut self.files, &self.poller, &mut self.next_token)
    }

    /// What the guest has said until now is in its log when this is answered: who asks may do so because
    /// Xen told of the guest's end, and want to read what it said last.
    fn state(&mut self) -> Result<State, Refusal> {
        if let Phase::Running(guest) = &mut self.phase {
            guest.drain_console();
        }
        let resident_bytes = self.memory.bytes().map_err(internal)?;
        Ok(State {
            resident_bytes,
            ..self.phase.state()
        })
    }
}

fn internal(error: io::Error) -> Refusal {
    Refusal::new(Code::Internal, error.to_string())
}
