// SPDX-License-Identifier: Apache-2.0
//! noxs, the contract between a guest and the VMM that serves its devices: the Rust mirror of
//! `include/noxs.h`, which explains it. Sizes and offsets are asserted here at compile time; a test
//! compares every constant and every field with what a C compiler makes of the header.
//!
//! The structures describe where a field is. Nobody makes a reference to one in guest memory: the
//! other side writes while we look. Use [`core::mem::offset_of`] and read each field once.
#![no_std]

use core::mem::{offset_of, size_of};

/// 'N' 'X' 'S' in bits 31..8 of the device page's first word.
pub const MAGIC: u32 = 0x5358_4e00;
/// In bits 7..0 of the device page's first word.
pub const VERSION: u32 = 1;
/// First word of the device page.
pub const FIRST_WORD: u32 = MAGIC | VERSION;

/// Bytes of the device page and of each control page.
pub const PAGE_SIZE: usize = 4096;
/// Entries that fit behind the header; a page may declare fewer.
pub const MAX_SLOTS: usize = 63;
/// Virtqueues that a control page has room for.
pub const MAX_QUEUES: usize = 16;
/// Bytes of device configuration in either half.
pub const CONFIG_SIZE: usize = 1024;

/// `entry.type`: network card (virtio).
pub const TYPE_NET: u32 = 1;
/// `entry.type`: disk (virtio).
pub const TYPE_BLOCK: u32 = 2;
/// `entry.type`: entropy (virtio).
pub const TYPE_RNG: u32 = 4;
/// `entry.type`: memory balloon (virtio).
pub const TYPE_BALLOON: u32 = 5;
/// `entry.type`: sockets to the VMM (virtio).
pub const TYPE_VSOCK: u32 = 19;
/// `entry.type`: memory hot-plug (virtio).
pub const TYPE_MEM: u32 = 24;
/// `entry.type`: file system (virtio).
pub const TYPE_FS: u32 = 26;
/// `entry.type`: our own; no virtqueues, [`Sysctl`] in both configuration areas.
pub const TYPE_SYSCTL: u32 = 0x10000;

/// `entry.state`: nothing there.
pub const SLOT_EMPTY: u32 = 0;
/// `entry.state`: the other fields are valid.
pub const SLOT_PRESENT: u32 = 1;
/// `entry.state`: the guest is asked to let go.
pub const SLOT_REMOVING: u32 = 2;

/// `front.flags`: the guest has let go of a device that is being removed.
pub const FRONT_RELEASED: u32 = 1;

/// `sysctl.word`: nothing was said.
pub const SYSCTL_NONE: u32 = 0;
/// `sysctl.word`, to the guest: shut down in good order.
pub const SYSCTL_POWEROFF: u32 = 1;
/// `sysctl.word`, to the guest: reboot in good order.
pub const SYSCTL_REBOOT: u32 = 2;
/// `sysctl.word`, to the guest: stop and keep everything.
pub const SYSCTL_SUSPEND: u32 = 3;
/// `sysctl.word`, to the VMM: about to power off.
pub const SYSCTL_EXITING: u32 = 4;
/// `sysctl.word`, to the VMM: about to reboot.
pub const SYSCTL_RESTARTING: u32 = 5;
/// `sysctl.word`, to the VMM: the kernel panicked.
pub const SYSCTL_PANICKED: u32 = 6;
/// `sysctl.word`, to the VMM: first sign of life.
pub const SYSCTL_ALIVE: u32 = 7;

/// Start of the device page.
#[repr(C)]
pub struct Header {
    /// [`FIRST_WORD`].
    pub first_word: u32,
    /// Grows by one with every change of the page, wraps.
    pub generation: u32,
    /// The guest's event channel port that is rung on changes of the page.
    pub doorbell_port: u32,
    /// Entries that follow, 1 to [`MAX_SLOTS`].
    pub slot_count: u16,
    /// Size of [`Entry`].
    pub entry_size: u16,
    /// Pages of the region, device page included.
    pub region_pages: u32,
    /// Zero.
    pub reserved: [u32; 11],
}

/// One device in the device page.
#[repr(C)]
pub struct Entry {
    /// `TYPE_*` or any virtio device id; the header calls it `type`.
    pub kind: u32,
    /// Unique in this guest's life, never reused.
    pub id: u32,
    /// `SLOT_*`.
    pub state: u32,
    /// The guest's event channel port of this device.
    pub port: u32,
    /// Guest-physical, page-aligned, inside the region.
    pub control_address: u64,
    /// Who serves it: 0 unless there are driver domains.
    pub backend_domid: u32,
    /// Zero.
    pub reserved: [u32; 9],
}

/// Page 0 of the region; only the VMM writes it.
#[repr(C)]
pub struct DevicePage {
    /// What the page is.
    pub header: Header,
    /// The devices.
    pub entries: [Entry; MAX_SLOTS],
}

/// The half of a control page that the VMM writes.
#[repr(C)]
pub struct Back {
    /// virtio feature bits on offer.
    pub features: u64,
    /// Last request number answered.
    pub ack: u32,
    /// Verdict on that request: virtio status bits.
    pub status: u32,
    /// Grows with every change of `config`, and when the device breaks.
    pub config_generation: u32,
    /// 0 to [`MAX_QUEUES`].
    pub queue_count: u32,
    /// Largest size of each queue, 0 = absent.
    pub queue_max: [u16; MAX_QUEUES],
    /// Zero.
    pub reserved: [u8; 968],
    /// virtio device configuration.
    pub config: [u8; CONFIG_SIZE],
}

/// One virtqueue as the guest sets it up (split layout).
#[repr(C)]
pub struct Queue {
    /// Power of two, at most the queue's `queue_max`.
    pub size: u16,
    /// 1 when the three addresses are valid, 0 when the queue is not used.
    pub enabled: u16,
    /// Zero.
    pub reserved: u32,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the available ring.
    pub driver: u64,
    /// Guest-physical address of the used ring.
    pub device: u64,
}

/// The half of a control page that the guest writes.
#[repr(C)]
pub struct Front {
    /// virtio feature bits accepted.
    pub features: u64,
    /// Grows by one with each request, wraps.
    pub request: u32,
    /// virtio device status as the driver sets it; 0 = reset.
    pub status: u32,
    /// `FRONT_*`.
    pub flags: u32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u8; 488],
    /// The virtqueues.
    pub queues: [Queue; MAX_QUEUES],
    /// Configuration fields that the driver writes.
    pub config: [u8; CONFIG_SIZE],
}

/// One a device.
#[repr(C)]
pub struct ControlPage {
    /// Written by the VMM.
    pub back: Back,
    /// Written by the guest.
    pub front: Front,
}

/// Start of either configuration area of the sysctl device, written and read in 8-byte words.
#[repr(C)]
pub struct Sysctl {
    /// Changes with every word that is said.
    pub sequence: u32,
    /// `SYSCTL_*`.
    pub word: u32,
    /// Guest-physical end of the memory that the guest has, as far as the writer knows; 0 at first.
    pub memory_end: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(size_of::<Entry>() == 64);
    assert!(offset_of!(Entry, control_address) == 16);
    assert!(size_of::<DevicePage>() == PAGE_SIZE);
    assert!(offset_of!(Back, queue_max) == 24);
    assert!(offset_of!(Back, config) == 1024);
    assert!(size_of::<Back>() == 2048);
    assert!(size_of::<Queue>() == 32);
    assert!(offset_of!(Front, queues) == 512);
    assert!(offset_of!(Front, config) == 1024);
    assert!(size_of::<Front>() == 2048);
    assert!(size_of::<ControlPage>() == PAGE_SIZE);
    assert!(size_of::<Sysctl>() == 16);
};
