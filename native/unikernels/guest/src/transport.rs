// SPDX-License-Identifier: Apache-2.0
//! virtio's transport on a noxs control page, for the drivers of `virtio-drivers`.
//!
//! Reset and FEATURES_OK are requests: written, rung, and waited for. DRIVER_OK and kicks are only
//! written and rung; see native/abi/include/noxs.h.

use core::time::Duration;

use unikernel_platform::{EventChannels, notify};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::control_page::{ControlPage, QueueAddresses};
use crate::region::Device;

/// How long the VMM may take to answer a request: it is a process like others in dom0.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest sleep between two looks.
const GLANCE: Duration = Duration::from_millis(100);
const GLANCES: u128 = PATIENCE.as_millis() / GLANCE.as_millis();

/// A device's event channel, both ways.
pub trait Bell {
    /// Rings the VMM.
    fn ring(&self);
    /// Returns when the VMM has rung, or after a moment.
    fn wait(&self);
}

/// The event channel of a guest.
#[derive(Clone, Copy, Debug)]
pub struct PortBell {
    /// The guest's channels.
    pub channels: EventChannels,
    /// The device's.
    pub port: u32,
}

impl Bell for PortBell {
    fn ring(&self) {
        notify(self.port);
    }

    fn wait(&self) {
        let until = self.channels.system_time() + GLANCE;
        self.channels.wait(&[self.port], Some(until));
        self.channels.take(self.port);
    }
}

/// One device.
#[derive(Debug)]
pub struct NoxsTransport<B> {
    device: Device,
    bell: B,
    status: DeviceStatus,
    request: u32,
}

impl<B: Bell> NoxsTransport<B> {
    /// The transport of a device that nobody drives yet.
    pub fn new(device: Device, bell: B) -> Self {
        let request = device.control.last_request();
        Self {
            device,
            bell,
            status: DeviceStatus::empty(),
            request,
        }
    }

    fn control(&self) -> &ControlPage {
        &self.device.control
    }

    /// Asks, and waits for the verdict.
    fn ask(&mut self, status: DeviceStatus) -> DeviceStatus {
        self.request = self.request.wrapping_add(1);
        self.control().set_status(status.bits());
        self.control().request(self.request);
        self.bell.ring();
        for _ in 0..GLANCES {
            let (answered, verdict) = self.control().answer();
            if answered == self.request {
                return DeviceStatus::from_bits_retain(verdict);
            }
            self.bell.wait();
        }
        panic!("the VMM does not answer for device {}", self.device.id);
    }
}

impl<B: Bell> Transport for NoxsTransport<B> {
    fn device_type(&self) -> DeviceType {
        DeviceType::try_from(self.device.kind).expect("a virtio device")
    }

    fn read_device_features(&mut self) -> u64 {
        self.control().offered_features()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.control().accept_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.control().queue_max(queue.into()).into()
    }

    fn notify(&mut self, _queue: u16) {
        self.bell.ring();
    }

    fn get_status(&self) -> DeviceStatus {
        self.status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.status = status;
        if status.is_empty() {
            self.ask(status);
        } else if status.contains(DeviceStatus::DRIVER_OK) {
            self.control().set_status(status.bits());
            self.bell.ring();
        } else if status.contains(DeviceStatus::FEATURES_OK) {
            let verdict = self.ask(status);
            assert!(
                verdict.contains(DeviceStatus::FEATURES_OK),
                "the VMM refuses the features of device {}",
                self.device.id
            );
        }
        // Before that, nobody but the driver needs to know.
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        let size = u16::try_from(size).expect("a size that the control page has offered");
        let addresses = QueueAddresses {
            size,
            descriptors,
            driver,
            device,
        };
        self.control().set_queue(queue.into(), Some(addresses));
    }

    fn queue_unset(&mut self, queue: u16) {
        self.control().set_queue(queue.into(), None);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.control().queue_enabled(queue.into())
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::QUEUE_INTERRUPT
    }

    fn read_config_generation(&self) -> u32 {
        self.control().config_generation()
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V> {
        let mut value = V::new_zeroed();
        for (index, byte) in value.as_mut_bytes().iter_mut().enumerate() {
            *byte = self
                .control()
                .config(offset + index)
                .ok_or(Error::ConfigSpaceTooSmall)?;
        }
        Ok(value)
    }

    fn write_config_space<V: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: V,
    ) -> Result {
        Err(Error::Unsupported)
    }
}
