// SPDX-License-Identifier: Apache-2.0
//! Calls of lightvmd's that need a guest.

use std::rc::Rc;
use std::time::{Duration, Instant};

use lightvm_devices::{
    Access, Block, BusError, Device, DeviceId, HostRequest, Network, NetworkOptions, Sysctl,
};
use lightvm_protocol::agent::AgentMessage;
use lightvm_protocol::agent::agent_message::Body as AgentBody;
use lightvm_protocol::agent::host_message::Call as AgentCall;
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{
    AttachBlock, AttachNetwork, CallAgent, DeviceAttached, Done, SetContainerLog,
};

use super::agent::Caller;
use super::{Effect, Guest, Relay};
use crate::failure::{Refusal, chain, invalid};
use crate::files::HandedFiles;
use crate::logs::ContainerLog;
use crate::poller::{Poller, Token};

/// How long a guest may take to let go of a device.
const RELEASE: Duration = Duration::from_secs(5);

/// The smallest packet that every IPv4 link must carry (RFC 791).
const MIN_MTU: u32 = 68;

/// A device that the guest was asked to let go of, and who waits for it.
#[derive(Debug)]
pub(super) struct Detaching {
    caller: Caller,
    id: DeviceId,
    pub(super) deadline: Instant,
}

impl Guest {
    /// Hot-plugs a disk.
    pub(crate) fn attach_block(
        &mut self,
        request: &AttachBlock,
        files: &mut HandedFiles,
    ) -> Result<Body, Refusal> {
        let file = files.take(request.file)?;
        let access = if request.writable {
            Access::Write
        } else {
            Access::Read
        };
        let disk =
            Block::new(file, &request.serial, access).map_err(|error| invalid(chain(&error)))?;
        let disk: Box<dyn Device> = Box::new(disk);
        let DeviceId(device_id) = self.bus.plug(disk).map_err(|error| refuse(&error))?;
        self.settle();
        Ok(Body::DeviceAttached(DeviceAttached { device_id }))
    }

    /// Hot-plugs a network interface, whose tap is called `token` in events.
    pub(crate) fn attach_network(
        &mut self,
        request: &AttachNetwork,
        files: &mut HandedFiles,
        poller: &Rc<Poller>,
        token: Token,
    ) -> Result<Body, Refusal> {
        let options = network_options(request)?;
        let tap = Rc::new(files.take(request.file)?);
        let network: Box<dyn Device> = Box::new(Network::new(Rc::clone(&tap), options));
        let id = self.bus.plug(network).map_err(|error| refuse(&error))?;
        let watched = self.taps.watch(poller, token, tap, id);
        self.settle();
        let watched = watched.map(|()| Body::DeviceAttached(DeviceAttached { device_id: id.0 }));
        watched.map_err(|error| invalid(format!("the tap can't be watched: {error}")))
    }

    /// Asks the guest to let go of a device; an effect answers.
    pub(crate) fn detach(&mut self, caller: Caller, device_id: u32) -> Result<(), Refusal> {
        let id = DeviceId(device_id);
        self.bus.unplug(id).map_err(|error| refuse(&error))?;
        self.detaching.push(Detaching {
            caller,
            id,
            deadline: Instant::now() + RELEASE,
        });
        self.settle();
        Ok(())
    }

    pub(super) fn finish_detaching(&mut self, id: DeviceId) {
        for Detaching { caller, .. } in self.detaching.extract_all(|each| each.id == id) {
            self.effects
                .push(Effect::Reply(caller, Body::Done(Done {})));
        }
    }

    pub(super) fn expire_detaching(&mut self, now: Instant) {
        for Detaching { caller, id, .. } in self.detaching.extract_all(|each| each.deadline <= now)
        {
            let message = format!("the guest did not let go of device {id} within 5 s");
            // What stands behind a disk is the host's, and shall not be held by a guest that won't.
            let body = match self.bus.with_device(id, Block::cut_off) {
                Ok(()) => {
                    self.relay
                        .report
                        .line(format_args!("{message}; the file behind it is closed"));
                    Body::Done(Done {})
                }
                Err(_) => Refusal::new(Code::Device, message).into(),
            };
            self.effects.push(Effect::Reply(caller, body));
        }
    }

    pub(super) fn fail_detaching(&mut self, refusal: &Refusal) {
        for Detaching { caller, .. } in self.detaching.drain(..) {
            self.effects
                .push(Effect::Reply(caller, refusal.clone().into()));
        }
    }

    /// Sends a container's output to another file.
    pub(crate) fn set_container_log(
        &mut self,
        request: SetContainerLog,
        files: &mut HandedFiles,
    ) -> Result<Body, Refusal> {
        let SetContainerLog {
            container_id,
            file,
            terminal,
        } = request;
        if container_id.is_empty() {
            return Err(invalid("a log of no container"));
        }
        let file = files.take_optional(file)?;
        let Relay { logs, report, .. } = &mut self.relay;
        logs.set(container_id, ContainerLog { file, terminal }, report);
        self.logs_ready();
        Ok(Body::Done(Done {}))
    }

    /// Asks the guest to shut down; its end answers.
    pub(crate) fn power_off(&mut self) -> Result<Body, Refusal> {
        let asked = self.bus.with_device(self.sysctl, |sysctl: &mut Sysctl| {
            sysctl.ask(HostRequest::Poweroff);
        });
        asked.map_err(|error| refuse(&error))?;
        self.settle();
        Ok(Body::Done(Done {}))
    }

    /// Relays a call to the agent; an effect answers.
    pub(crate) fn call_agent(&mut self, caller: Caller, request: CallAgent) -> Result<(), Refusal> {
        let message = request
            .call
            .ok_or_else(|| invalid("a call to the agent without one"))?;
        if let Some(AgentCall::CreateContainer(create)) = &message.call {
            self.exits.created(&create.container_id);
        }
        let timeout = request.timeout_milliseconds;
        let called = self
            .with_vsock(|relay, vsock| relay.agent.call(caller, message, timeout, vsock))
            .unwrap_or_else(|| {
                Err(Refusal::new(
                    Code::AgentUnreachable,
                    "this guest has no agent",
                ))
            });
        self.settle();
        called
    }

    pub(super) fn finish_call(
        &mut self,
        caller: Caller,
        call: &AgentCall,
        reply: Result<AgentMessage, Refusal>,
    ) {
        if let (AgentCall::RemoveContainer(remove), Ok(AgentMessage { body, .. })) = (call, &reply)
        {
            if matches!(body, Some(AgentBody::Done(_))) {
                self.exits.removed(&remove.container_id);
                let Relay { logs, report, .. } = &mut self.relay;
                logs.remove(&remove.container_id, report);
                // What has waited for it goes as well.
                self.logs_ready();
            }
        }
        let body = reply.map_or_else(Body::from, Body::AgentReply);
        self.effects.push(Effect::Reply(caller, body));
    }
}

/// The part of `Vec::extract_if` that is needed, for a compiler that has none.
trait ExtractAll<T> {
    fn extract_all(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T> ExtractAll<T> for Vec<T> {
    fn extract_all(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let (taken, kept) = std::mem::take(self).into_iter().partition(wanted);
        *self = kept;
        taken
    }
}

fn network_options(request: &AttachNetwork) -> Result<NetworkOptions, Refusal> {
    let mac = <[u8; 6]>::try_from(request.mac.as_slice());
    let mac = mac.ok().filter(|mac| mac[0] & 1 == 0);
    let mtu = u16::try_from(request.mtu).ok();
    match (mac, mtu) {
        (None, _) => Err(invalid("the hardware address is none of an interface")),
        (Some(mac), Some(mtu)) if request.mtu >= MIN_MTU => Ok(NetworkOptions {
            mac,
            mtu,
            offloads: request.offloads,
        }),
        _ => Err(invalid(format!("an MTU of {}", request.mtu))),
    }
}

pub(super) fn refuse(error: &BusError) -> Refusal {
    let code = match error {
        BusError::NoSlot => Code::NoSlot,
        BusError::UnknownDevice => Code::Invalid,
        BusError::BadRegion | BusError::BadSlotCount | BusError::NoBell | BusError::WrongType => {
            Code::Internal
        }
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_an_address_and_an_mtu() {
        let good = AttachNetwork {
            mac: vec![2, 0, 0, 0, 0, 1],
            mtu: 1500,
            offloads: true,
            ..AttachNetwork::default()
        };
        let options = network_options(&good).unwrap();
        assert_eq!((options.mac[5], options.mtu), (1, 1500));
        for (mac, mtu) in [
            (vec![], 1500),
            (vec![2; 7], 1500),
            (vec![1, 0, 0x5e, 0, 0, 1], 1500),
            (vec![2; 6], 67),
            (vec![2; 6], 65536),
        ] {
            let bad = AttachNetwork {
                mac,
                mtu,
                ..good.clone()
            };
            assert_eq!(network_options(&bad).unwrap_err().code(), Code::Invalid);
        }
    }
}
