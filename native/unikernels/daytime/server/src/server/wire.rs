// SPDX-License-Identifier: Apache-2.0
//! A cable with two ends.

extern crate std;

use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use core::cell::RefCell;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

type Frames = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a cable.
pub(super) struct End {
    incoming: Frames,
    outgoing: Frames,
}

/// Both ends.
pub(super) fn cable() -> (End, End) {
    let (there, back) = (Frames::default(), Frames::default());
    let one = End {
        incoming: back.clone(),
        outgoing: there.clone(),
    };
    (
        one,
        End {
            incoming: there,
            outgoing: back,
        },
    )
}

pub(super) struct Frame(Vec<u8>);
pub(super) struct Outlet(Frames);

impl Device for End {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Outlet;

    fn receive(&mut self, _now: Instant) -> Option<(Frame, Outlet)> {
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Frame(frame), Outlet(self.outgoing.clone())))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outlet> {
        Some(Outlet(self.outgoing.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Outlet {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let filled = fill(&mut frame);
        self.0.borrow_mut().push_back(frame);
        filled
    }
}
