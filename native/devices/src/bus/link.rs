// SPDX-License-Identifier: Apache-2.0
//! One device and its driver: who has agreed to what.
//!
//! ```text
//!        plug                FEATURES_OK granted            DRIVER_OK
//!   ──────────────> Reset ────────────────────> Negotiated ──────────> Running
//!                     ^                             │                     │
//!                     │  request, status 0          │     a bad value     │
//!                     ├─────────────────────────────┴──────────┬──────────┘
//!                     └──────────────────────────────────── Broken
//! ```

use std::sync::Arc;

use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::Event;
use super::control::{ControlPage, Request};
use super::status::Status;
use crate::device::{Device, DeviceError, DeviceEvent, DeviceId, Progress};
use crate::page::Page;
use crate::queue::Queues;

/// VIRTIO_F_INDIRECT_DESC.
const INDIRECT_DESCRIPTORS: u64 = 1 << 28;
/// VIRTIO_F_EVENT_IDX.
const EVENT_INDEX: u64 = 1 << 29;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

/// What came of one look at a device.
#[derive(Default)]
pub(super) struct Turn {
    /// The guest must be rung.
    pub(super) ring: bool,
    /// The guest has let go: the device can be dropped.
    pub(super) released: bool,
    /// What the VMM must know, in order.
    pub(super) events: Vec<Event>,
}

enum State {
    /// The driver is not there or has not agreed on features yet.
    Reset,
    /// Features are fixed; the driver may be setting up queues.
    Negotiated { features: u64 },
    /// The driver runs the device.
    Running(Queues),
    /// The guest broke the contract; only a reset is heard.
    Broken,
}

/// A device that the guest can see.
pub(super) struct Link {
    id: DeviceId,
    device: Box<dyn Device>,
    memory: Arc<GuestMemoryMmap>,
    control: ControlPage,
    offered: u64,
    state: State,
    /// The last request that was answered, and how.
    answered: u32,
    status: Status,
    removing: bool,
    pending: bool,
}

impl Link {
    /// Describes the device in its control page; the entry is the caller's.
    pub(super) fn new(
        id: DeviceId,
        device: Box<dyn Device>,
        page: Page,
        memory: &Arc<GuestMemoryMmap>,
    ) -> Self {
        let offered = device.features() | VERSION_1 | EVENT_INDEX | INDIRECT_DESCRIPTORS;
        let control = ControlPage::new(page, offered, device.queue_sizes(), &device.config());
        Self {
            id,
            device,
            memory: Arc::clone(memory),
            control,
            offered,
            state: State::Reset,
            answered: 0,
            status: Status::RESET,
            removing: false,
            pending: false,
        }
    }

    pub(super) fn id(&self) -> DeviceId {
        self.id
    }

    pub(super) fn control_address(&self) -> GuestAddress {
        self.control.address()
    }

    pub(super) fn device(&mut self) -> &mut dyn Device {
        self.device.as_mut()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending
    }

    pub(super) fn kind(&self) -> u32 {
        self.device.kind()
    }

    /// Whether the guest has been asked to release the device.
    pub(super) fn is_removed(&self) -> bool {
        self.removing
    }

    /// From now on the guest may release the device.
    pub(super) fn ask_back(&mut self) {
        self.removing = true;
    }

    /// Looks at what the driver wrote, then at its queues.
    pub(super) fn doorbell(&mut self) -> Turn {
        let mut turn = Turn::default();
        if let Err(error) = self.follow_driver(&mut turn) {
            self.break_down(error, &mut turn);
        }
        self.run(&mut turn);
        turn
    }

    /// Does what the device can do by itself: the host has changed something.
    pub(super) fn serve(&mut self) -> Turn {
        let mut turn = Turn::default();
        self.run(&mut turn);
        turn
    }

    fn follow_driver(&mut self, turn: &mut Turn) -> Result<(), DeviceError> {
        match self.control.request(self.answered) {
            Ok(Some(request)) => self.answer(request, turn)?,
            Ok(None) => self.look_for_driver_ok(turn)?,
            Err((number, error)) => {
                self.answered = number;
                return Err(error);
            }
        }
        if matches!(self.state, State::Broken) {
            return Ok(());
        }
        let mut said = Vec::new();
        let heard = self
            .device
            .front_config(&self.control.front_config(), &mut said);
        self.report(said, turn);
        heard
    }

    fn look_for_driver_ok(&mut self, turn: &mut Turn) -> Result<(), DeviceError> {
        match self.state {
            State::Negotiated { features } if self.control.status()?.driver_ok() => {
                self.start(features, turn)
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, request: Request, turn: &mut Turn) -> Result<(), DeviceError> {
        self.answered = request.number;
        turn.ring = true;
        if request.status.is_reset() {
            self.reset(turn);
            self.state = State::Reset;
            self.status = Status::RESET;
            turn.released = self.removing && request.released;
        } else {
            self.status = self.judge(request.status.without_needs_reset(), turn)?;
        }
        self.control.answer(self.answered, self.status);
        Ok(())
    }

    /// What becomes of a status that the driver asks for.
    fn judge(&mut self, asked: Status, turn: &mut Turn) -> Result<Status, DeviceError> {
        if matches!(self.state, State::Broken) {
            return Ok(asked.with_needs_reset());
        }
        if matches!(self.state, State::Reset) {
            if !asked.features_ok() && asked.driver_ok() {
                return Err(DeviceError::ControlPage("DRIVER_OK without FEATURES_OK"));
            }
            if !asked.features_ok() {
                return Ok(asked);
            }
            let features = self.control.features();
            let possible = features & !self.offered == 0 && features & VERSION_1 != 0;
            if !possible || !self.device.accept(features) {
                return Ok(asked.without_features_ok());
            }
            self.state = State::Negotiated { features };
        }
        if !asked.features_ok() {
            return Err(DeviceError::ControlPage("FEATURES_OK was taken back"));
        }
        match self.state {
            State::Negotiated { features } if asked.driver_ok() => self.start(features, turn)?,
            State::Running(_) if !asked.driver_ok() => {
                return Err(DeviceError::ControlPage("DRIVER_OK was taken back"));
            }
            _ => {}
        }
        Ok(asked)
    }

    /// The driver is ready: reads the queues, once.
    fn start(&mut self, features: u64, turn: &mut Turn) -> Result<(), DeviceError> {
        let setups = self.control.queues(self.device.queue_sizes())?;
        let queues = Queues::new(&self.memory, &setups, features & EVENT_INDEX != 0)?;
        self.state = State::Running(queues);
        turn.events.push(Event::Ready(self.id));
        Ok(())
    }

    fn run(&mut self, turn: &mut Turn) {
        self.pending = false;
        if let State::Running(queues) = &mut self.state {
            let mut said = Vec::new();
            let progress = self.device.process(queues, &mut said);
            let outcome = progress.and_then(|progress| Ok((progress, queues.take_ring()?)));
            self.report(said, turn);
            match outcome {
                Ok((progress, ring)) => {
                    self.pending = progress == Progress::More;
                    turn.ring |= ring;
                }
                Err(error) => self.break_down(error, turn),
            }
        }
        turn.ring |= self.control.update_config(&self.device.config());
    }

    fn break_down(&mut self, error: DeviceError, turn: &mut Turn) {
        turn.ring = true;
        self.status = self.status.with_needs_reset();
        // A device breaks once; a guest that goes on writing nonsense gets no more lines for it.
        if !matches!(self.state, State::Broken) {
            self.reset(turn);
            self.state = State::Broken;
            turn.events.push(Event::Broken(self.id, error));
            self.control.show_broken(self.status);
        }
        self.control.answer(self.answered, self.status);
    }

    fn reset(&mut self, turn: &mut Turn) {
        let mut said = Vec::new();
        self.device.reset(&mut said);
        self.report(said, turn);
    }

    fn report(&self, said: Vec<DeviceEvent>, turn: &mut Turn) {
        let events = said.into_iter();
        turn.events
            .extend(events.map(|event| Event::Device(self.id, event)));
    }
}
