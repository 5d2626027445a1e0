// SPDX-License-Identifier: Apache-2.0
//! The network card, as smoltcp wants it.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use unikernel_guest::{NoxsTransport, PortBell};
use unikernel_platform::{ImageMemory, MAX_FRAME, NetworkCard};

type Raw = NetworkCard<ImageMemory, NoxsTransport<PortBell>>;

/// The card.
pub(crate) struct Card(pub(crate) Raw);

/// A frame that has come.
pub(crate) struct Received {
    frame: [u8; MAX_FRAME],
    length: usize,
}

/// The right to send one.
pub(crate) struct ToSend<'a>(&'a mut Raw);

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, ToSend<'_>)> {
        // What has come may have to be answered.
        if !self.0.can_send() {
            return None;
        }
        let mut frame = [0; MAX_FRAME];
        let length = self
            .0
            .receive(&mut frame)
            .expect("a network card that works")?;
        Some((Received { frame, length }, ToSend(&mut self.0)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<ToSend<'_>> {
        self.0.can_send().then_some(ToSend(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.frame[..self.length])
    }
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.send(length, fill)
    }
}
