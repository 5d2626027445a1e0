// SPDX-License-Identifier: Apache-2.0

use std::fs::{self, File};
use std::mem::offset_of;
use std::path::PathBuf;

use lightvm_abi::ControlPage;
use vm_memory::Bytes;

use super::{Access, Block, BlockError};
use crate::test_support::{Buffer, Guest, Ring};
use crate::{DeviceId, Event};

/// A file of its own for a test, gone with it.
struct Content(PathBuf);

impl Content {
    fn new(name: &str, bytes: usize) -> Self {
        let name = format!("lightvm-block-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, pattern(0, bytes)).unwrap();
        Self(path)
    }

    fn open(&self) -> File {
        File::open(&self.0).unwrap()
    }

    fn open_for_writing(&self) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn pattern(start: usize, length: usize) -> Vec<u8> {
    (start..start + length)
        .map(|at| (at % 251) as u8 + 1)
        .collect()
}

struct Disk {
    guest: Guest,
    id: DeviceId,
    ring: Ring,
    content: Content,
}

impl Disk {
    fn new(name: &str, bytes: usize) -> Self {
        Self::of(Content::new(name, bytes), Access::Read)
    }

    fn writable(name: &str, bytes: usize) -> Self {
        Self::of(Content::new(name, bytes), Access::Write)
    }

    fn of(content: Content, access: Access) -> Self {
        let file = match access {
            Access::Read => content.open(),
            Access::Write => content.open_for_writing(),
        };
        Self::over(content, file, access)
    }

    fn over(content: Content, file: File, access: Access) -> Self {
        let block = Block::new(file, "sandbox-0123", access).unwrap();
        let (guest, id, mut rings) = Guest::with(block);
        Self {
            guest,
            id,
            ring: rings.remove(0),
            content,
        }
    }

    fn buffer(&mut self, length: u32, writable: bool) -> Buffer {
        let address = self.guest.allocate(length as usize);
        let fill = vec![0xee; length as usize];
        self.guest.memory.write_slice(&fill, address).unwrap();
        Buffer {
            address,
            length,
            writable,
        }
    }

    fn header(&mut self, kind: u32, sector: u64) -> Buffer {
        let buffer = self.buffer(16, false);
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(sector.to_le_bytes());
        self.guest
            .memory
            .write_slice(&bytes, buffer.address)
            .unwrap();
        buffer
    }

    fn bytes(&self, buffer: Buffer) -> Vec<u8> {
        let mut bytes = vec![0; buffer.length as usize];
        let read = self.guest.memory.read_slice(&mut bytes, buffer.address);
        read.unwrap();
        bytes
    }

    /// Makes a request with data parts of these lengths: (bytes written, data, status).
    fn request(
        &mut self,
        kind: u32,
        sector: u64,
        parts: &[u32],
        indirect: bool,
    ) -> (u32, Vec<u8>, u8) {
        let mut chain = vec![self.header(kind, sector)];
        for length in parts {
            chain.push(self.buffer(*length, true));
        }
        self.send(chain, indirect)
    }

    /// Writes `parts`, one behind the other: (bytes written by the device, status).
    fn write(&mut self, sector: u64, parts: &[&[u8]]) -> (u32, u8) {
        let mut chain = vec![self.header(1, sector)];
        for part in parts {
            let buffer = self.buffer(part.len() as u32, false);
            let memory = &self.guest.memory;
            memory.write_slice(part, buffer.address).unwrap();
            chain.push(buffer);
        }
        let (written, _, status) = self.send(chain, false);
        (written, status)
    }

    /// Sends a request that lacks its status byte only.
    fn send(&mut self, mut chain: Vec<Buffer>, indirect: bool) -> (u32, Vec<u8>, u8) {
        let status = self.buffer(1, true);
        chain.push(status);
        let head = if indirect {
            self.ring.offer_indirect(&mut self.guest, &chain)
        } else {
            self.ring.offer(&chain)
        };
        self.ring.kick(&mut self.guest);
        let used = self.ring.used();
        let [(returned, written)] = used[..] else {
            panic!("one request, one answer: {used:?}");
        };
        assert_eq!(returned, head);
        let data = &chain[1..chain.len() - 1];
        let data = data.iter().flat_map(|part| self.bytes(*part)).collect();
        (written, data, self.bytes(status)[0])
    }
}

#[test]
fn a_disk_has_a_size_and_says_so() {
    let disk = Disk::new("size", 1000);
    let config = offset_of!(ControlPage, back.config);
    assert_eq!(disk.guest.get::<u64>(0, config), 2);
    assert_eq!(disk.guest.get::<u32>(0, config + 12), 126);
    let features: u64 = disk.guest.get(0, offset_of!(ControlPage, back.features));
    assert_ne!(features & (1 << 5), 0, "read-only");
}

#[test]
fn files_that_are_no_disk_are_refused() {
    let content = Content::new("empty", 0);
    let empty = Block::new(content.open(), "", Access::Read);
    assert!(matches!(empty, Err(BlockError::Empty)));
    let content = Content::new("serial", 1);
    let long = Block::new(content.open(), "123456789012345678901", Access::Read);
    assert!(matches!(long, Err(BlockError::LongSerial)));
    assert!(Block::new(content.open(), "12345678901234567890", Access::Read).is_ok());
    let content = Content::new("uneven", 513);
    let uneven = Block::new(content.open_for_writing(), "", Access::Write);
    assert!(matches!(uneven, Err(BlockError::Uneven)));
    let pipe = File::open("/proc/self/stat").unwrap();
    assert!(Block::new(pipe, "", Access::Read).is_err());
}

#[test]
fn data_comes_in_any_number_of_parts() {
    let mut disk = Disk::new("parts", 1 << 20);
    let whole = disk.request(0, 3, &[4096], false);
    assert_eq!(whole, (4097, pattern(1536, 4096), 0));
    let parts = disk.request(0, 3, &[1, 511, 1000, 24, 2560], false);
    assert_eq!(parts, whole);
    let many = [64; 64];
    assert_eq!(disk.request(0, 3, &many, true), whole);
    let large = disk.request(0, 0, &[512 << 10, 512 << 10], false);
    assert_eq!(large, ((1 << 20) + 1, pattern(0, 1 << 20), 0));
}

#[test]
fn what_lies_behind_the_file_is_zero() {
    let mut disk = Disk::new("tail", 1000);
    let (written, data, status) = disk.request(0, 1, &[512], false);
    assert_eq!((written, status), (513, 0));
    assert_eq!(data[..488], pattern(512, 488));
    assert_eq!(data[488..], [0; 24]);
    // Behind the last sector there is nothing.
    let (written, data, status) = disk.request(0, 1, &[1024], false);
    assert_eq!((written, status), (1, 1));
    assert_eq!(data, [0xee; 1024]);
}

#[test]
fn a_file_that_shrank_gives_io_errors() {
    let mut disk = Disk::new("shrunk", 8192);
    let file = File::options().write(true).open(&disk.content.0).unwrap();
    file.set_len(4096).unwrap();
    assert_eq!(disk.request(0, 0, &[4096], false).2, 0);
    assert_eq!(disk.request(0, 8, &[4096], false).2, 1);
}

#[test]
fn other_requests_have_their_answers() {
    let mut disk = Disk::new("others", 4096);
    let (written, data, status) = disk.request(8, 0, &[20], false);
    assert_eq!((written, status), (21, 0));
    assert_eq!(&data, b"sandbox-0123\0\0\0\0\0\0\0\0");
    assert_eq!(disk.request(4, 0, &[], false), (1, vec![], 0));
    assert_eq!(disk.request(1, 0, &[], false), (1, vec![], 1));
    assert_eq!(disk.request(11, 0, &[], false), (1, vec![], 2));
    assert_eq!(disk.request(0, 0, &[100], false).2, 1);
}

#[test]
fn what_is_written_is_in_the_file() {
    let mut disk = Disk::writable("written", 1 << 20);
    let features: u64 = disk.guest.get(0, offset_of!(ControlPage, back.features));
    assert_eq!(features & (1 << 5), 0, "not read-only");
    let data = pattern(77, 4096);
    let parts = [&data[..1], &data[1..512], &data[512..600], &data[600..]];
    assert_eq!(disk.write(3, &parts), (1, 0));
    assert_eq!(disk.request(4, 0, &[], false), (1, vec![], 0), "a flush");
    let mut expected = pattern(0, 1 << 20);
    expected[1536..1536 + 4096].copy_from_slice(&data);
    assert_eq!(disk.content.bytes(), expected);
    assert_eq!(disk.request(0, 3, &[4096], false), (4097, data, 0));
    // More than is copied at once, and up to the last sector.
    let large = pattern(5, 700 << 10);
    let sector = (1 << 11) - (700 << 1);
    assert_eq!(disk.write(sector, &[&large]), (1, 0));
    assert_eq!(disk.content.bytes()[324 << 10..], large);
    assert_eq!(disk.content.bytes().len(), 1 << 20);
}

#[test]
fn writes_elsewhere_change_nothing() {
    let mut disk = Disk::writable("elsewhere", 4096);
    let sector = pattern(9, 512);
    let two = [sector.clone(), sector.clone()].concat();
    for (start, data) in [
        (8, &sector[..]),
        (7, &two),
        (0, &sector[..511]),
        (0, &two[..513]),
        (u64::MAX, &sector),
        (1 << 55, &sector),
    ] {
        assert_eq!(disk.write(start, &[data]), (1, 1), "sector {start}");
    }
    assert_eq!(disk.write(8, &[]), (1, 0), "nothing, at the end");
    assert_eq!(disk.content.bytes(), pattern(0, 4096));
}

#[test]
fn a_disk_that_is_read_only_is_not_written() {
    // Also if whoever opened the file did so for writing.
    let content = Content::new("read-only", 4096);
    let file = content.open_for_writing();
    let mut disk = Disk::over(content, file, Access::Read);
    assert_eq!(disk.write(0, &[&pattern(9, 512)]), (1, 1));
    assert_eq!(disk.content.bytes(), pattern(0, 4096));
}

#[test]
fn writes_that_the_host_refuses_are_io_errors() {
    let content = Content::new("refused", 4096);
    // Not opened for writing.
    let file = content.open();
    let mut disk = Disk::over(content, file, Access::Write);
    assert_eq!(disk.write(0, &[&pattern(9, 512)]), (1, 1));
    assert_eq!(disk.request(0, 0, &[512], false).2, 0);
}

#[test]
fn a_disk_that_is_cut_off_has_closed_its_file() {
    let mut disk = Disk::writable("cut", 4096);
    assert_eq!(disk.write(0, &[&pattern(9, 512)]), (1, 0));
    let id = disk.id;
    let cut = disk.guest.bus.with_device(id, Block::cut_off);
    cut.unwrap();
    assert_eq!(disk.write(0, &[&pattern(10, 512)]), (1, 1));
    assert_eq!(disk.request(4, 0, &[], false).2, 1, "a flush");
    assert_eq!(disk.request(0, 0, &[512], false).2, 1);
    assert_eq!(disk.content.bytes()[..512], pattern(9, 512));
}

#[test]
fn chains_that_are_no_request_break_the_disk() {
    type Make = fn(&mut Disk) -> Vec<Buffer>;
    let chains: [Make; 3] = [
        |disk| vec![disk.header(0, 0)],
        |disk| vec![disk.buffer(15, false), disk.buffer(513, true)],
        |disk| vec![disk.buffer(513, true)],
    ];
    for (number, make) in chains.iter().enumerate() {
        let mut disk = Disk::new(&format!("broken{number}"), 4096);
        let chain = make(&mut disk);
        disk.ring.offer(&chain);
        disk.ring.kick(&mut disk.guest);
        let events = disk.guest.events();
        assert!(matches!(events[..], [Event::Broken(DeviceId(1), _)]));
        assert_eq!(disk.ring.used(), []);
    }
}

#[test]
fn a_queue_is_emptied_in_turns() {
    let mut disk = Disk::new("turns", 4096);
    let ring = &mut disk.guest.start(0, 1, 128)[0];
    let header = disk.header(4, 0);
    let status = disk.buffer(1, true);
    for _ in 0..128 {
        ring.offer_indirect(&mut disk.guest, &[header, status]);
    }
    ring.kick(&mut disk.guest);
    assert_eq!(ring.used().len(), 128);
    // That was the budget of a turn: the bus asks to be called again, and then is done.
    assert!(disk.guest.bus.has_pending());
    disk.guest.bus.run_pending();
    assert!(!disk.guest.bus.has_pending());
}

#[test]
fn a_disk_counts_until_it_is_asked_back() {
    let mut disk = Disk::writable("counts", 4096);
    let id = disk.id;
    assert_eq!(disk.guest.bus.disk_ids(), [id]);
    disk.guest.bus.unplug(id).unwrap();
    assert_eq!(disk.guest.bus.disk_ids(), []);
    assert_eq!(disk.guest.bus.device_ids(), [id]);
}
