// SPDX-License-Identifier: Apache-2.0
//! File systems: their devices, and the channels to the file servers behind them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use lightvm_devices::{Channel, Device, DeviceId, Filesystem};
use lightvm_protocol::vmm::guest_end::Reason;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{AttachFilesystem, DeviceAttached};

use super::{Guest, calls};
use crate::failure::{Refusal, chain, invalid};
use crate::files::HandedFiles;
use crate::poller::{Interest, PolledSocket, Poller, Ready, Token};

/// Channels that one file system can have.
const MAX_CHANNELS: usize = 16;

/// Which channel of which file system a socket's events are for.
pub(super) type FileChannels = BTreeMap<Token, (DeviceId, usize)>;

struct PolledChannel(PolledSocket);

impl Channel for PolledChannel {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.0.receive(into)
    }

    fn wait_for_room(&mut self, sending: bool) -> io::Result<()> {
        self.0.wait_for(Interest {
            read: true,
            write: sending,
        })
    }
}

impl Guest {
    /// Hot-plugs a file system. `next_token` names the sockets in the poller's events.
    pub(crate) fn attach_filesystem(
        &mut self,
        request: &AttachFilesystem,
        files: &mut HandedFiles,
        poller: &Rc<Poller>,
        next_token: &mut u64,
    ) -> Result<Body, Refusal> {
        if request.channels.len() > MAX_CHANNELS {
            let count = request.channels.len();
            return Err(invalid(format!("{count} channels of a file system")));
        }
        let mut tokens = Vec::new();
        let mut channels: Vec<Box<dyn Channel>> = Vec::new();
        for channel in &request.channels {
            let socket = OwnedFd::from(files.take(*channel)?);
            let token = Token(*next_token);
            *next_token += 1;
            let socket = PolledSocket::new(socket, token, poller)
                .map_err(|error| invalid(format!("a channel of a file system: {error}")))?;
            tokens.push(token);
            channels.push(Box::new(PolledChannel(socket)));
        }
        let device =
            Filesystem::new(&request.tag, channels).map_err(|error| invalid(chain(&error)))?;
        let device: Box<dyn Device> = Box::new(device);
        let id = self
            .bus
            .plug(device)
            .map_err(|error| calls::refuse(&error))?;
        let numbered = tokens.into_iter().enumerate();
        self.file_channels
            .extend(numbered.map(|(number, token)| (token, (id, number))));
        self.settle();
        let DeviceId(device_id) = id;
        Ok(Body::DeviceAttached(DeviceAttached { device_id }))
    }

    /// A socket is ready; false when it is no channel of a file system.
    pub(super) fn channel_ready(&mut self, ready: Ready) -> bool {
        let Some(&(id, number)) = self.file_channels.get(&ready.token) else {
            return false;
        };
        let outcome = if ready.hung_up {
            Err("it has ended".into())
        } else {
            let act = |device: &mut Filesystem| device.channel_ready(number);
            self.bus.with_device(id, act).unwrap_or(Ok(()))
        };
        if let Err(what) = outcome {
            self.lose_volumes(&what);
        }
        true
    }

    /// Open files and their state are gone with the server: no other could take its place.
    pub(super) fn lose_volumes(&mut self, what: &str) {
        let message = format!("the file server of the pod's volumes is lost: {what}");
        self.end_as(Reason::VolumesLost, message);
    }

    /// The guest has let go of a device.
    pub(super) fn forget_channels(&mut self, released: DeviceId) {
        self.file_channels.retain(|_, (id, _)| *id != released);
    }
}
