// SPDX-License-Identifier: Apache-2.0
//! Calls that need a hot-plugged device, which the kernel may find later than the host asks for it.

use std::io;
use std::time::{Duration, Instant};

use lightvm_protocol::agent::device::Node;
use lightvm_protocol::agent::{
    ConfigureNetwork, CreateContainer, Empty, agent_message::Body, failure::Code,
};

use crate::agent::Agent;
use crate::container::{Container, Hardware, Places, check_id};
use crate::devices;
use crate::error::CallError;
use crate::image_volumes;
use crate::network;

/// How long the kernel may take to find a device.
const DEVICE_DEADLINE: Duration = Duration::from_secs(8);

/// A call that a device can hold up.
#[derive(Debug)]
pub(crate) enum DeviceCall {
    /// Needs its disk, those of image volumes and what it was given, and the pod's volumes if it
    /// has any.
    CreateContainer(Box<CreateContainer>),
    /// Needs its interface.
    ConfigureNetwork(ConfigureNetwork),
}

impl DeviceCall {
    /// What has not appeared.
    fn missing(&self) -> String {
        match self {
            Self::CreateContainer(request) => {
                let disk = request.root.as_ref().map_or(0, |root| root.block_device_id);
                let given = request
                    .devices
                    .iter()
                    .filter_map(|device| match device.node {
                        Some(Node::BlockDeviceId(id)) => Some(id),
                        _ => None,
                    });
                let volumes = Some(request.volumes_device_id).filter(|id| *id != 0);
                let images = image_volumes::devices(&request.mounts);
                let others = given.chain(volumes).chain(images);
                let others: Vec<_> = others.map(|id| id.to_string()).collect();
                match others.as_slice() {
                    [] => format!("the disk of device {disk} has not appeared"),
                    ids => format!(
                        "devices {disk} and {} have not all appeared",
                        ids.join(", ")
                    ),
                }
            }
            Self::ConfigureNetwork(request) => {
                format!("the interface for {} has not appeared", request.name)
            }
        }
    }
}

/// A call whose device the kernel does not have yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: u64,
    call: DeviceCall,
    pub(crate) deadline: Instant,
}

impl Agent {
    /// Does what the host asks, now or when the device is there.
    pub(crate) fn do_or_wait(&mut self, id: u64, call: DeviceCall) -> io::Result<()> {
        let deadline = Instant::now() + DEVICE_DEADLINE;
        self.attempt(Waiting { id, call, deadline })
    }

    fn attempt(&mut self, waiting: Waiting) -> io::Result<()> {
        let outcome = match &waiting.call {
            _ if self.shutdown.is_some() => {
                Err(CallError::precondition("the guest is shutting down"))
            }
            DeviceCall::CreateContainer(request) => self.create_container(request),
            DeviceCall::ConfigureNetwork(request) => {
                network::configure(request).map(|done| done.then_some(Body::Done(Empty {})))
            }
        };
        match outcome.transpose() {
            Some(outcome) => self.answer(waiting.id, outcome),
            None => {
                self.waiting.push(waiting);
                Ok(())
            }
        }
    }

    /// Creates the container; nothing when the kernel does not have its devices yet.
    fn create_container(&mut self, request: &CreateContainer) -> Result<Option<Body>, CallError> {
        self.check_new(request)?;
        let root = request.root.as_ref();
        let root = root.ok_or_else(|| CallError::invalid("the container has no root"))?;
        if request.volumes_device_id != 0 && !self.volumes.acquire()? {
            return Ok(None);
        }
        let Some(disk) = self.images.disk(root.block_device_id) else {
            return Ok(None);
        };
        let Some(devices) = devices::find(&request.devices, &self.images)? else {
            return Ok(None);
        };
        let Some(image_volumes) = image_volumes::find(&request.mounts, &self.images) else {
            return Ok(None);
        };
        let hardware = Hardware {
            disk: &disk,
            image_volumes: &image_volumes,
            devices: &devices,
        };
        self.create(request.clone(), &hardware).map(Some)
    }

    fn check_new(&self, request: &CreateContainer) -> Result<(), CallError> {
        let id = &request.container_id;
        check_id(id)?;
        let same = |waiting: &Waiting| match &waiting.call {
            DeviceCall::CreateContainer(other) => other.container_id == *id,
            DeviceCall::ConfigureNetwork(_) => false,
        };
        if self.waiting.iter().any(same) || self.containers.contains_key(id) {
            let message = format!("the container {id} exists");
            return Err(CallError::new(Code::Exists, message));
        }
        Ok(())
    }

    fn create(
        &mut self,
        mut request: CreateContainer,
        hardware: &Hardware<'_>,
    ) -> Result<Body, CallError> {
        let id = request.container_id.clone();
        self.volumes.resolve(&mut request.mounts)?;
        let (state, cgroups) = (&self.paths.state, &self.paths.cgroups);
        let places = Places {
            state,
            cgroups,
            user_namespace: self.user_namespace.as_ref(),
        };
        let container = Container::create(request, hardware, &mut self.images, &places)?;
        let created = container.created();
        self.containers.insert(id, container);
        created.map(Body::ContainerCreated)
    }

    /// Devices have changed: some calls may get theirs.
    pub(crate) fn retry_waiting(&mut self) -> io::Result<()> {
        for waiting in std::mem::take(&mut self.waiting) {
            self.attempt(waiting)?;
        }
        Ok(())
    }

    /// Gives up on devices that have not come.
    pub(crate) fn expire_waiting(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let all = std::mem::take(&mut self.waiting);
        let (expired, waiting): (Vec<Waiting>, _) =
            all.into_iter().partition(|waiting| waiting.deadline <= now);
        self.waiting = waiting;
        for Waiting { id, call, .. } in expired {
            self.answer(id, Err(CallError::not_found(call.missing())))?;
        }
        Ok(())
    }
}
