// SPDX-License-Identifier: Apache-2.0
//! What the devices and the agent have to say, and what becomes of it.

use std::time::{Duration, Instant};

use lightvm_devices::{DeviceError, DeviceEvent, DeviceId, Event, GuestState, Sysctl, VsockEvent};
use lightvm_protocol::AGENT_CONTROL_PORT;
use lightvm_protocol::vmm::guest_end::Reason;
use lightvm_protocol::vmm::journal_record::Record;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{Alive, GuestEvent, guest_event};

use super::agent::AgentEvent;
use super::exits::Told;
use super::{Effect, Guest, Relay};

/// How long a guest whose agent is lost may take to say that it powers off or has panicked.
const FAREWELL: Duration = Duration::from_secs(2);

impl Guest {
    /// Takes the devices' events until there are none.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.bus.next_event() {
            match event {
                Event::Device(_, DeviceEvent::Vsock(event)) => self.handle_vsock(event),
                Event::Device(_, DeviceEvent::Sysctl(state)) => self.handle_sysctl(state),
                Event::Device(id, DeviceEvent::Tap(interest)) => {
                    if let Err(error) = self.taps.wait_for(id, interest) {
                        self.relay
                            .report
                            .line(format_args!("cannot watch the tap of device {id}: {error}"));
                    }
                }
                Event::Device(sysctl, DeviceEvent::MemoryEnd(end)) => self.grow(sysctl, end),
                Event::Device(_, DeviceEvent::FileServerLost(what)) => self.lose_volumes(&what),
                Event::Broken(id, DeviceError::Host(error)) => {
                    self.relay
                        .report
                        .line(format_args!("device {id} does not work: {error}"));
                }
                Event::Broken(id, error) => {
                    let message = format!("the guest broke the protocol of device {id}: {error}");
                    self.end_as(Reason::DeviceError, message);
                }
                Event::Released(id) => {
                    self.forget_tap(id);
                    self.forget_channels(id);
                    self.finish_detaching(id);
                }
                Event::Ready(_) => {}
            }
        }
    }

    pub(super) fn forget_tap(&mut self, device: DeviceId) {
        if let Err(error) = self.taps.forget(device) {
            self.relay.report.line(format_args!(
                "cannot let go of the tap of device {device}: {error}"
            ));
        }
    }

    fn handle_vsock(&mut self, event: VsockEvent) {
        let mut events = Vec::new();
        let handled = self.with_vsock(|relay, vsock| {
            let Relay {
                agent,
                stdio,
                logs,
                report,
            } = relay;
            match event {
                VsockEvent::Opened {
                    connection,
                    port: AGENT_CONTROL_PORT,
                } => {
                    agent.opened(connection, vsock);
                }
                VsockEvent::Opened { connection, .. } => stdio.opened(connection),
                VsockEvent::Data { connection } if agent.owns(connection) => {
                    agent.receive(vsock, &mut events);
                }
                VsockEvent::Data { connection } => stdio.receive(connection, vsock, logs, report),
                VsockEvent::Writable { connection } if agent.owns(connection) => {
                    agent.flush(vsock);
                }
                VsockEvent::Writable { connection } => {
                    stdio.writable(connection, vsock, logs, report);
                }
                VsockEvent::Shutdown { connection } | VsockEvent::Closed { connection, .. }
                    if agent.owns(connection) =>
                {
                    agent.receive(vsock, &mut events);
                    agent.give_up("the agent closed its connection", vsock, &mut events);
                }
                VsockEvent::Shutdown { connection } => {
                    stdio.shut_down(connection, vsock, logs, report);
                }
                VsockEvent::Closed { connection, .. } => {
                    stdio.closed(connection, vsock, logs, report);
                }
            }
        });
        debug_assert!(handled.is_some(), "an event of a device that is not there");
        self.handle_agent(events);
    }

    fn handle_sysctl(&mut self, state: GuestState) {
        match state {
            GuestState::Alive => {
                self.alive = true;
                let event = Some(guest_event::Event::Alive(Alive {}));
                self.effects
                    .push(Effect::Event(Body::GuestEvent(GuestEvent { event })));
            }
            GuestState::Exiting => self.end_as(Reason::Poweroff, "the guest powered off".into()),
            GuestState::Restarting => {
                self.end_as(Reason::Reboot, "the guest asked for a reboot".into());
            }
            GuestState::Panicked => {
                self.end_as(Reason::Panic, "the guest's kernel panicked".into());
            }
        }
    }

    /// The guest says that it has got memory up to `end`: devices may be pointed at it once this
    /// process can reach it.
    fn grow(&mut self, sysctl: DeviceId, end: u64) {
        if let Err(error) = self.domain.map_up_to(end) {
            let message = format!("the guest says that it has memory up to {end:#x}: {error}");
            self.end_as(Reason::DeviceError, message);
            return;
        }
        let admitted = self
            .bus
            .with_device(sysctl, |device: &mut Sysctl| device.admit_memory(end));
        debug_assert!(admitted.is_ok(), "an event of a device that is not there");
    }

    pub(super) fn handle_agent(&mut self, events: Vec<AgentEvent>) {
        for event in events {
            match event {
                AgentEvent::Ready(hello) => {
                    self.record(Record::Ready(hello.clone()));
                    let event = Some(guest_event::Event::AgentReady(hello));
                    self.effects
                        .push(Effect::Event(Body::GuestEvent(GuestEvent { event })));
                }
                AgentEvent::Exited(exited) => {
                    let told = self.exits.tell(&exited);
                    if told == Told::Container {
                        self.record(Record::Exited(exited.clone()));
                    }
                    if told != Told::Nothing {
                        self.effects
                            .push(Effect::Event(Body::ProcessExited(exited)));
                    }
                }
                AgentEvent::Reply(caller, call, reply) => self.finish_call(caller, &call, reply),
                AgentEvent::Lost(reason) => {
                    self.farewell
                        .get_or_insert_with(|| (Instant::now() + FAREWELL, reason));
                }
            }
        }
    }
}
