// SPDX-License-Identifier: Apache-2.0
//! The file server: FUSE messages of a guest, by way of the device that carries them, on a volume.
//! The server's rights are those of a pod's; its root directory and its system calls are libFuzzer's.
#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::SystemTime;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use lightvm_devices::{Channel, DeviceEvent, Event, Filesystem};
use lightvm_files::volumes::{self, Volumes};
use lightvm_files::{jail, serve};
use lightvm_fuzz::{Attacker, Step};

/// An empty file system that notes when a file was read, see native/build/fuzz.ts: what the guest
/// sees of it, and what it does not.
const VOLUMES: &str = "/share/volumes";
const SECRET: &str = "/share/secret";
/// Actions of one run.
const MAX_ACTIONS: usize = 64;
/// FUSE has no more kinds of messages.
const OPCODES: u8 = 54;
const INIT: u8 = 26;
/// What names may be: such as are there, such as will be, and such as must not be.
const NAMES: [&[u8]; 12] = [
    b"file",
    b"link",
    b"sub",
    b"new",
    b"other",
    b"user.x",
    b"security.capability",
    b"",
    b".",
    b"..",
    b"../secret",
    b"/share/secret",
];

#[derive(Arbitrary, Debug)]
enum Action {
    /// A message as a guest's kernel makes it, about anything.
    Ask(Message),
    /// Whatever else a guest can do.
    Other(Step),
}

#[derive(Arbitrary, Debug)]
struct Message {
    opcode: u8,
    node: u8,
    user: u8,
    fields: Vec<u8>,
    names: Vec<u8>,
    /// Bytes for the answer.
    room: u16,
}

impl Message {
    /// What a guest says first: version 7.39, and that it can do everything.
    fn first() -> Self {
        let words = [7_u32, 39, 1 << 17].into_iter().flat_map(u32::to_le_bytes);
        Self {
            opcode: INIT,
            node: 0,
            user: 0,
            fields: words.chain([0xff; 52]).collect(),
            names: Vec::new(),
            room: 256,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = self.fields.clone();
        for &name in self.names.iter().take(4) {
            body.extend(NAMES[usize::from(name) % NAMES.len()]);
            body.push(0);
        }
        let ids = [u32::from(self.user), u32::from(self.user), 0, 0];
        let mut bytes = (40 + body.len() as u32).to_le_bytes().to_vec();
        bytes.extend(u32::from(self.opcode % OPCODES).to_le_bytes());
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(u64::from(self.node).to_le_bytes());
        bytes.extend(ids.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(body);
        bytes
    }

    fn step(&self) -> Step {
        Step::Request {
            ring: 1,
            bytes: self.bytes(),
            room: self.room,
        }
    }
}

/// A volume, and a secret beside it that nobody has touched.
struct Share;

impl Share {
    fn new() -> Self {
        let volume = format!("{VOLUMES}/volume");
        fs::create_dir_all(format!("{volume}/sub")).expect("directories");
        fs::write(format!("{VOLUMES}/file"), "content").expect("a file");
        fs::write(format!("{volume}/file"), "content").expect("a file");
        symlink("../secret", format!("{VOLUMES}/link")).expect("a link");
        let secret = File::create(SECRET).expect("a file");
        let long_ago = FileTimes::new()
            .set_accessed(SystemTime::UNIX_EPOCH)
            .set_modified(SystemTime::UNIX_EPOCH);
        secret.set_times(long_ago).expect("a file");
        Self
    }

    fn check(&self) {
        let secret = fs::symlink_metadata(SECRET).expect("the secret");
        let touched = (secret.atime(), secret.mtime(), secret.nlink(), secret.uid());
        assert_eq!(touched, (0, 0, 1, 0), "the secret was touched");
        let entries = fs::read_dir("/share").expect("the share");
        assert_eq!(entries.count(), 2, "something was made beside the volumes");
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        fs::remove_dir_all(VOLUMES).expect("the volumes");
    }
}

/// What is on its way between the device and the server.
#[derive(Default)]
struct Wire {
    asked: Vec<u8>,
    answers: VecDeque<u8>,
    /// The server has ended.
    over: bool,
}

struct Near(Rc<RefCell<Wire>>);

impl Channel for Near {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().asked.extend(bytes);
        Ok(bytes.len())
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let wire = &mut *self.0.borrow_mut();
        let count = wire.answers.read(into)?;
        Ok((count > 0 || wire.over).then_some(count))
    }

    fn wait_for_room(&mut self, _sending: bool) -> io::Result<()> {
        Ok(())
    }
}

/// What the server answers; nothing when these are no messages.
fn answers(server: &Volumes, asked: &[u8]) -> Option<Vec<u8>> {
    let (near, far) = UnixStream::pair().expect("sockets");
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            (&near).write_all(asked).expect("a socket");
            near.shutdown(Shutdown::Write).expect("a socket");
            let mut answers = Vec::new();
            (&near).read_to_end(&mut answers).expect("a socket");
            answers
        });
        let outcome = serve::one(server, &far);
        far.shutdown(Shutdown::Write).expect("a socket");
        io::copy(&mut &far, &mut io::sink()).expect("a socket");
        let answers = asking.join().expect("answers");
        outcome.is_ok().then_some(answers)
    })
}

/// Whether the device finds that the server breaks the protocol, or has ended.
fn is_lost(events: &[Event]) -> bool {
    let lost = |event: &Event| matches!(event, Event::Device(_, DeviceEvent::FileServerLost(_)));
    events.iter().any(lost)
}

/// Takes a step, and lets device and server talk until both wait.
fn take(attacker: &mut Attacker, step: &Step, wire: &RefCell<Wire>, server: &Volumes) {
    let mut events = attacker.take(step);
    loop {
        assert!(!is_lost(&events) || wire.borrow().over, "{events:?}");
        let asked = std::mem::take(&mut wire.borrow_mut().asked);
        if asked.is_empty() || wire.borrow().over {
            return;
        }
        match answers(server, &asked) {
            Some(answers) => wire.borrow_mut().answers.extend(answers),
            None => wire.borrow_mut().over = true,
        }
        let wake = |device: &mut Filesystem| device.channel_ready(0);
        let heard = attacker.guest.bus.with_device(attacker.id, wake);
        let heard = heard.expect("the device");
        assert!(heard.is_ok() || wire.borrow().over, "{heard:?}");
        events = attacker.settle();
    }
}

fuzz_target!(init: jail::give_up().expect("root's rights"), |actions: Vec<Action>| {
    let share = Share::new();
    let server = volumes::server(VOLUMES).expect("a server");
    let wire = Rc::new(RefCell::new(Wire::default()));
    let channel = Box::new(Near(Rc::clone(&wire)));
    let device = Filesystem::new("volumes", vec![channel]).expect("a device");
    let mut attacker = Attacker::new(device);
    take(&mut attacker, &Message::first().step(), &wire, &server);
    for action in actions.iter().take(MAX_ACTIONS) {
        match action {
            Action::Ask(message) => take(&mut attacker, &message.step(), &wire, &server),
            Action::Other(step) => take(&mut attacker, step, &wire, &server),
        }
        share.check();
    }
});
