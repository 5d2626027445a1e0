// SPDX-License-Identifier: Apache-2.0
//! A loaded guest: its devices, its console, its agent and the stdio of its processes.
//!
//! Everything here is driven from outside: an event channel rings, a client's socket is ready, a
//! call comes, time passes. What follows from it for lightvmd is left in `effects`.

mod agent;
mod boot_log;
mod calls;
mod console;
mod events;
mod exits;
mod filesystems;
mod link;
mod logging;
mod stdio;
mod taps;

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Instant;

use lightvm_devices::{Bell, Bus, DeviceId, Network, Notifier, Vsock};
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::guest_end::Reason;
use lightvm_protocol::vmm::journal_record::Record;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{GuestEnd, GuestEvent, guest_event, state};
use lightvm_xen::{PreparedDomain, SlotDoorbell};

use self::agent::Agent;
pub(crate) use self::agent::Caller;
pub(crate) use self::boot_log::BootLog;
pub(crate) use self::console::Console;
use self::exits::ContainerExits;
use self::filesystems::FileChannels;
use self::stdio::Stdio;
pub(crate) use self::stdio::{Client, StreamName};
use self::taps::Taps;
use crate::clock::WallTime;
use crate::failure::{Refusal, chain};
use crate::journal::Journal;
use crate::logs::ContainerLogs;
use crate::phase::Ended;
use crate::poller::Ready;
use crate::report::Report;

/// What lightvmd must be told.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The answer to a call that had to wait.
    Reply(Caller, Body),
    /// An event, to every control connection.
    Event(Body),
}

/// The bus, and those of its devices that are spoken to.
pub(crate) struct Devices {
    pub(crate) bus: Bus,
    pub(crate) sysctl: DeviceId,
    pub(crate) vsock: Option<DeviceId>,
}

/// The parts of a guest that [`crate::execute`] has made.
pub(crate) struct Parts {
    pub(crate) domain: Rc<PreparedDomain>,
    pub(crate) devices: Devices,
    pub(crate) console: Console,
    pub(crate) journal: Journal,
}

/// A guest that is about to be unpaused, or runs.
pub(crate) struct Guest {
    domain: Rc<PreparedDomain>,
    bus: Bus,
    sysctl: DeviceId,
    vsock: Option<DeviceId>,
    /// Whether sysctl has said so.
    alive: bool,
    console: Console,
    journal: Journal,
    file_channels: FileChannels,
    relay: Relay,
    exits: ContainerExits,
    taps: Taps,
    detaching: Vec<calls::Detaching>,
    /// Since the agent is lost: until when the guest may say how it ends, and how it was lost.
    farewell: Option<(Instant, String)>,
    end: Option<GuestEnd>,
    effects: Vec<Effect>,
}

/// What goes through the vsock device.
#[derive(Debug, Default)]
struct Relay {
    agent: Agent,
    stdio: Stdio,
    logs: ContainerLogs,
    report: Report,
}

impl Guest {
    /// A guest as it was loaded.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            domain,
            devices: Devices { bus, sysctl, vsock },
            console,
            journal,
        } = parts;
        Self {
            domain,
            bus,
            sysctl,
            vsock,
            alive: false,
            console,
            journal,
            file_channels: FileChannels::new(),
            relay: Relay::default(),
            exits: ContainerExits::default(),
            taps: Taps::default(),
            detaching: Vec::new(),
            farewell: None,
            end: None,
            effects: Vec::new(),
        }
    }

    /// Readable when the guest has rung.
    pub(crate) fn event_channels(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.domain.event_channels().as_fd()
    }

    /// The guest's state for lightvmd.
    pub(crate) fn state(&self) -> lightvm_protocol::vmm::State {
        let ready = self.relay.agent.hello().is_some();
        let phase = if ready {
            state::Phase::Ready
        } else {
            state::Phase::Executed
        };
        lightvm_protocol::vmm::State {
            phase: phase.into(),
            domid: self.domain.domid().into(),
            agent: self.relay.agent.hello().cloned(),
            exits: self.exits.all(),
            alive: self.alive,
            device_ids: numbers(self.bus.device_ids()),
            block_device_ids: numbers(self.bus.disk_ids()),
            ..Default::default()
        }
    }

    /// What lightvmd must be told since the last time.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Self::tick`] must be called at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.bus.has_pending() {
            return Some(Instant::now());
        }
        let farewell = self.farewell.as_ref().map(|(until, _)| *until);
        let detaching = self.detaching.iter().map(|detaching| detaching.deadline);
        self.relay
            .agent
            .next_deadline()
            .into_iter()
            .chain(farewell)
            .chain(detaching)
            .chain(self.relay.logs.next_deadline())
            .min()
    }

    /// The guest has rung, or may have.
    pub(crate) fn ring(&mut self) {
        match self.domain.event_channels().pending() {
            Ok(ports) => {
                for port in ports {
                    self.ring_port(port);
                }
            }
            Err(error) => self
                .relay
                .report
                .line(format_args!("cannot read event channels: {error}")),
        }
        self.settle();
    }

    fn ring_port(&mut self, port: u32) {
        // Before looking: a ring that comes while we look is not lost.
        if let Err(error) = self.domain.event_channels().unmask(port) {
            self.relay
                .report
                .line(format_args!("cannot unmask event channel {port}: {error}"));
        }
        let doorbells = self.domain.doorbells();
        if port == doorbells.console.local_port {
            self.drain_console();
        } else if let Some(slot) = doorbells.slot_of(port) {
            self.bus.doorbell(slot);
        }
        // The guest has no business ringing the page's doorbell.
    }

    /// Does what time or a budget has put off.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.bus.has_pending() {
            self.bus.run_pending();
        }
        let mut events = Vec::new();
        self.relay.agent.expire(now, &mut events);
        self.handle_agent(events);
        self.expire_detaching(now);
        let Relay { logs, report, .. } = &mut self.relay;
        if logs.retry(now, report) {
            self.logs_ready();
        }
        if let Some((_, reason)) = self.farewell.take_if(|(until, _)| *until <= now) {
            self.end_as(Reason::AgentLost, reason);
        }
        self.settle();
    }

    /// A tap is ready; false when it is not one of this guest's.
    pub(crate) fn tap_ready(&mut self, ready: Ready) -> bool {
        let Some(device) = self.taps.device(ready.token) else {
            return false;
        };
        let gone = ready.hung_up;
        let served = self.bus.with_device(device, |network: &mut Network| {
            if gone {
                network.disconnect();
            }
        });
        debug_assert!(served.is_ok(), "a tap outlived its device");
        self.settle();
        if gone {
            self.forget_tap(device);
        }
        true
    }

    /// A client's socket is ready; false when it is not one of this guest's.
    pub(crate) fn client_ready(&mut self, ready: Ready) -> bool {
        if self.channel_ready(ready) {
            self.settle();
            return true;
        }
        let known = self.with_vsock(|relay, vsock| {
            relay
                .stdio
                .client_ready(ready, vsock, &mut relay.logs, &mut relay.report)
        });
        self.settle();
        known.unwrap_or(false)
    }

    /// A client wants a stream.
    pub(crate) fn add_client(&mut self, name: StreamName, client: Client) {
        let added = self.with_vsock(|relay, vsock| relay.stdio.add_client(name, client, vsock));
        if let Some(Err(error)) = added {
            self.relay
                .report
                .line(format_args!("cannot keep a stream connection: {error}"));
        }
        self.settle();
    }

    fn record(&mut self, record: Record) {
        if let Err(error) = self.journal.append(record) {
            self.relay
                .report
                .line(format_args!("cannot write the journal: {error}"));
        }
    }

    /// The first reason counts.
    fn end_as(&mut self, reason: Reason, message: String) {
        let realtime_nanoseconds = WallTime::now().0;
        let reason = reason.into();
        self.end.get_or_insert(GuestEnd {
            reason,
            message,
            realtime_nanoseconds,
        });
    }

    /// Whether the guest is gone for good: [`Self::conclude`] is due.
    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Lets go of the guest, after what it said last. Returns what there is to tell as well.
    pub(crate) fn conclude(mut self) -> (Ended, Vec<Effect>) {
        let gone = Refusal::new(Code::GuestGone, "the guest has ended");
        let mut events = Vec::new();
        self.relay.agent.fail_calls(&gone, &mut events);
        self.handle_agent(events);
        self.fail_detaching(&gone);
        self.end_output();
        let end = self.end.take().unwrap_or_default();
        self.record(Record::Ended(end.clone()));
        crate::report::line(format_args!("the guest has ended: {}", end.message));
        let event = Some(guest_event::Event::Ended(end.clone()));
        self.effects
            .push(Effect::Event(Body::GuestEvent(GuestEvent { event })));
        let ended = Ended {
            domid: self.domain.domid(),
            agent: self.relay.agent.hello().cloned(),
            end,
            exits: self.exits.all(),
        };
        (ended, self.effects)
    }

    /// Calls `act` with the relay and the vsock device; `None` when there is no such device.
    fn with_vsock<R>(&mut self, act: impl FnOnce(&mut Relay, &mut Vsock) -> R) -> Option<R> {
        let Self {
            bus, relay, vsock, ..
        } = self;
        bus.with_device((*vsock)?, |device: &mut Vsock| act(relay, device))
            .ok()
    }
}

fn numbers(ids: Vec<DeviceId>) -> Vec<u32> {
    ids.into_iter().map(|DeviceId(id)| id).collect()
}

/// The event channels of a guest's devices.
pub(crate) struct Bells(pub(crate) Rc<PreparedDomain>);

impl Notifier for Bells {
    fn ring(&mut self, bell: Bell) {
        let doorbells = self.0.doorbells();
        let port = match bell {
            Bell::Page => Some(doorbells.header.local_port),
            Bell::Slot(slot) => doorbells.slots.get(slot).and_then(SlotDoorbell::local_port),
        };
        if let Some(Err(error)) = port.map(|port| self.0.event_channels().notify(port)) {
            crate::report::line(format_args!("cannot ring the guest: {error}"));
        }
    }

    fn connect(&mut self, slot: usize) -> bool {
        let connected = self.0.connect_slot(slot);
        if let Err(error) = &connected {
            crate::report::line(format_args!("cannot connect slot {slot}: {}", chain(error)));
        }
        connected.is_ok()
    }
}
