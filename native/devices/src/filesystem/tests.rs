// SPDX-License-Identifier: Apache-2.0

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem::offset_of;
use std::rc::Rc;

use lightvm_abi::ControlPage;
use vm_memory::Bytes;

use super::{Channel, Filesystem, FilesystemError};
use crate::test_support::{Buffer, Guest, Random, Ring};
use crate::{DeviceEvent, DeviceId, Event};

/// The server's end of a channel that a test holds in its hands.
#[derive(Default)]
struct Pipe {
    /// What the device has sent,
    sent: Vec<u8>,
    /// how much more it may send before the connection is full,
    room: usize,
    /// and what it will receive.
    answers: VecDeque<u8>,
    ended: bool,
    waits_for_room: bool,
}

struct Near(Rc<RefCell<Pipe>>);

impl Channel for Near {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        if pipe.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(pipe.room);
        pipe.room -= count;
        pipe.sent.extend(&bytes[..count]);
        Ok(count)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut pipe = self.0.borrow_mut();
        let count = into.len().min(pipe.answers.len());
        for (byte, answer) in into.iter_mut().zip(pipe.answers.drain(..count)) {
            *byte = answer;
        }
        Ok((count > 0 || pipe.ended).then_some(count))
    }

    fn wait_for_room(&mut self, sending: bool) -> io::Result<()> {
        self.0.borrow_mut().waits_for_room = sending;
        Ok(())
    }
}

struct Share {
    guest: Guest,
    id: DeviceId,
    rings: Vec<Ring>,
    pipes: Vec<Rc<RefCell<Pipe>>>,
}

/// A message of a FUSE client.
fn request(opcode: u32, unique: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (40 + body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(unique.to_le_bytes());
    bytes.extend([0xaa; 24]);
    bytes.extend(body);
    bytes
}

fn answer(unique: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + body.len() as u32).to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(unique.to_le_bytes());
    bytes.extend(body);
    bytes
}

impl Share {
    fn new(lanes: usize) -> Self {
        let pipe = || {
            Rc::new(RefCell::new(Pipe {
                room: usize::MAX,
                ..Pipe::default()
            }))
        };
        let pipes: Vec<_> = std::iter::repeat_with(pipe).take(lanes).collect();
        let near = |pipe: &Rc<RefCell<Pipe>>| Box::new(Near(Rc::clone(pipe))) as Box<dyn Channel>;
        let device = Filesystem::new("volumes", pipes.iter().map(near).collect()).unwrap();
        let (guest, id, rings) = Guest::with(device);
        Self {
            guest,
            id,
            rings,
            pipes,
        }
    }

    fn buffer(&mut self, bytes: &[u8], writable: bool) -> Buffer {
        let address = self.guest.allocate(bytes.len());
        self.guest.memory.write_slice(bytes, address).unwrap();
        Buffer {
            address,
            length: bytes.len() as u32,
            writable,
        }
    }

    fn bytes(&self, buffer: Buffer) -> Vec<u8> {
        let mut bytes = vec![0; buffer.length as usize];
        let read = self.guest.memory.read_slice(&mut bytes, buffer.address);
        read.unwrap();
        bytes
    }

    /// Makes a request available on a queue; returns where its answer will be.
    fn offer(&mut self, queue: usize, message: &[u8], room: usize) -> Option<Buffer> {
        let message = self.buffer(message, false);
        let room = (room > 0).then(|| self.buffer(&vec![0xee; room], true));
        let chain: Vec<_> = [message].into_iter().chain(room).collect();
        self.rings[queue].offer(&chain);
        self.rings[queue].kick(&mut self.guest);
        room
    }

    fn ready(&mut self, lane: usize) -> Result<(), String> {
        let act = |device: &mut Filesystem| device.channel_ready(lane);
        self.guest.bus.with_device(self.id, act).unwrap()
    }

    fn give(&mut self, lane: usize, bytes: &[u8]) {
        self.pipes[lane].borrow_mut().answers.extend(bytes);
        self.ready(lane).unwrap();
    }

    fn sent(&self, lane: usize) -> Vec<u8> {
        std::mem::take(&mut self.pipes[lane].borrow_mut().sent)
    }
}

#[test]
fn a_file_system_has_a_tag() {
    let share = Share::new(1);
    let config = offset_of!(ControlPage, back.config);
    let tag: Vec<u8> = (0..8)
        .map(|at| share.guest.get::<u8>(0, config + at))
        .collect();
    assert_eq!(tag, b"volumes\0");
    assert_eq!(share.guest.get::<u32>(0, config + 36), 1);
    let channel = || vec![Box::new(Near(Rc::default())) as Box<dyn Channel>];
    let refused = |tag: &str, channels| Filesystem::new(tag, channels).err();
    for tag in ["", "a\0b", &"x".repeat(37)] {
        assert_eq!(refused(tag, channel()), Some(FilesystemError::Tag));
    }
    assert_eq!(refused(&"x".repeat(36), channel()), None);
    assert_eq!(refused("x", vec![]), Some(FilesystemError::NoChannel));
}

#[test]
fn a_request_goes_out_and_its_answer_comes_back() {
    let mut share = Share::new(1);
    let message = request(15, 5, b"which bytes");
    let room = share.offer(1, &message, 64).unwrap();
    assert_eq!(share.sent(0), message);
    assert_eq!(share.rings[1].used(), []);
    let reply = answer(5, b"these bytes");
    // However the stream is cut.
    for byte in &reply {
        share.give(0, &[*byte]);
    }
    assert_eq!(share.rings[1].used(), [(0, reply.len() as u32)]);
    assert_eq!(share.bytes(room)[..reply.len()], reply);
    assert_eq!(share.guest.events(), []);
}

#[test]
fn long_messages_go_in_pieces() {
    let mut share = Share::new(1);
    let body: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
    let message = request(16, 9, &body);
    share.pipes[0].borrow_mut().room = 50;
    let room = share.offer(1, &message, 16 + body.len()).unwrap();
    assert!(share.pipes[0].borrow().waits_for_room);
    while share.pipes[0].borrow().waits_for_room {
        share.pipes[0].borrow_mut().room = 100_001;
        share.ready(0).unwrap();
    }
    assert_eq!(share.sent(0), message);
    share.give(0, &answer(9, &body));
    assert_eq!(share.rings[1].used(), [(0, 16 + body.len() as u32)]);
    assert_eq!(share.bytes(room)[16..], body);
}

#[test]
fn as_many_requests_are_under_way_as_there_are_lanes() {
    let mut share = Share::new(2);
    for unique in 1..=3 {
        share.offer(1, &request(3, unique, &[]), 16);
    }
    assert_eq!(share.sent(0), request(3, 1, &[]));
    assert_eq!(share.sent(1), request(3, 2, &[]));
    // The second comes back first, and makes room for the third.
    share.give(1, &answer(2, &[]));
    assert_eq!(share.rings[1].used(), [(2, 16)]);
    assert_eq!(share.sent(1), request(3, 3, &[]));
    share.give(0, &answer(1, &[]));
    share.give(1, &answer(3, &[]));
    assert_eq!(share.rings[1].used(), [(0, 16), (4, 16)]);
}

#[test]
fn forgets_have_no_answer_and_go_first() {
    let mut share = Share::new(1);
    share.offer(1, &request(3, 1, &[]), 16);
    share.offer(1, &request(3, 2, &[]), 16);
    share.offer(0, &request(2, 3, &[0; 8]), 0);
    share.sent(0);
    share.give(0, &answer(1, &[]));
    let expected = [request(2, 3, &[0; 8]), request(3, 2, &[])].concat();
    assert_eq!(share.sent(0), expected);
    assert_eq!(share.rings[0].used(), [(0, 0)]);
}

#[test]
fn what_is_no_fuse_message_breaks_the_device() {
    let mut longer = request(3, 1, &[]);
    longer[0] += 1;
    let mut huge = request(3, 1, &[]);
    huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let bad = [
        (vec![0; 39], 16),
        (longer, 16),
        (huge, 16),
        (request(3, 1, &[]), 15),
        (request(3, 1, &[]), 0),
        (request(41, 1, &[]), 16),
    ];
    for (message, room) in bad {
        let mut share = Share::new(1);
        share.offer(1, &message, room);
        let events = share.guest.events();
        assert!(matches!(events[..], [Event::Broken(DeviceId(1), _)]));
        assert_eq!(share.sent(0), []);
        assert_eq!(share.rings[1].used(), []);
    }
}

#[test]
fn an_answer_without_room_breaks_the_device_and_is_swallowed() {
    let mut share = Share::new(1);
    share.offer(1, &request(3, 1, &[]), 16);
    share.give(0, &answer(1, &[7; 100]));
    let events = share.guest.events();
    assert!(matches!(events[..], [Event::Broken(DeviceId(1), _)]));
    share.rings = share.guest.start(0, 2, 16);
    share.sent(0);
    let room = share.offer(1, &request(3, 2, &[]), 16).unwrap();
    share.give(0, &answer(2, &[]));
    assert_eq!(share.rings[1].used(), [(0, 16)]);
    assert_eq!(share.bytes(room), answer(2, &[]));
}

#[test]
fn an_answer_that_comes_after_a_reset_touches_no_memory() {
    let mut share = Share::new(1);
    let room = share.offer(1, &request(3, 1, &[]), 16).unwrap();
    share.rings = share.guest.start(0, 2, 16);
    let next = share.offer(1, &request(3, 2, &[]), 16).unwrap();
    share.give(0, &answer(1, &[]));
    assert_eq!(share.bytes(room), [0xee; 16]);
    share.give(0, &answer(2, &[]));
    assert_eq!(share.bytes(next), answer(2, &[]));
}

#[test]
fn a_server_that_is_lost_is_told_once() {
    type Break = fn(&mut Share) -> Result<(), String>;
    let breaks: [Break; 3] = [
        |share| {
            share.pipes[0].borrow_mut().ended = true;
            share.ready(0)
        },
        |share| {
            share.pipes[0].borrow_mut().answers.extend(answer(8, &[]));
            share.ready(0)
        },
        |share| {
            share.pipes[0].borrow_mut().answers.extend([0; 16]);
            share.ready(0)
        },
    ];
    for how in breaks {
        let mut share = Share::new(1);
        share.offer(1, &request(3, 1, &[]), 16);
        how(&mut share).unwrap();
        let lost = share.guest.events();
        assert!(matches!(
            lost[..],
            [Event::Device(_, DeviceEvent::FileServerLost(_))]
        ));
        share.offer(1, &request(3, 2, &[]), 16);
        assert_eq!(share.guest.events(), []);
        assert_eq!(share.rings[1].used(), []);
        // Without a request under way, whoever waits for the channel learns it.
        let mut idle = Share::new(1);
        assert!(how(&mut idle).is_err());
    }
}

/// Whatever the guest offers, the device breaks or carries it: it never panics, and never carries
/// more than one message a lane.
#[test]
fn nonsense_from_the_guest_is_survived() {
    let mut random = Random::new(20);
    for _ in 0..2000 {
        let mut share = Share::new(2);
        for _ in 0..8 {
            let body = random.below(64) as usize;
            let mut message = request(random.below(60) as u32, 1, &vec![0; body]);
            if random.below(3) == 0 {
                let at = random.below(message.len() as u64) as usize;
                message[at] = random.below(256) as u8;
            }
            message.truncate(random.below(message.len() as u64 + 40) as usize);
            if message.is_empty() {
                continue;
            }
            let room = random.below(64) as usize;
            share.offer(random.below(2) as usize, &message, room);
            let lane = random.below(2) as usize;
            let mut reply = answer(1, &vec![0; random.below(80) as usize]);
            reply.truncate(random.below(reply.len() as u64 + 1) as usize);
            share.pipes[lane].borrow_mut().answers.extend(reply);
            // A lost server ends this pod, and this round.
            if share.ready(lane).is_err() {
                break;
            }
        }
    }
}
