// SPDX-License-Identifier: Apache-2.0
//! virtio-fs: FUSE messages of a guest, and a file server that answers anything.
#![no_main]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use lightvm_devices::{Channel, Filesystem};
use lightvm_fuzz::{Attacker, Step};

#[derive(Arbitrary, Debug)]
struct Input {
    steps: Vec<Step>,
    /// What comes from the server, in pieces.
    answers: Vec<Vec<u8>>,
    /// Bytes that it takes at once.
    room: u8,
}

struct Server {
    answers: Rc<RefCell<Vec<Vec<u8>>>>,
    room: usize,
}

impl Channel for Server {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len().min(self.room))
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut answers = self.answers.borrow_mut();
        let Some(mut answer) = answers.pop() else {
            return Ok(None);
        };
        let count = answer.len().min(into.len());
        into[..count].copy_from_slice(&answer[..count]);
        let rest = answer.split_off(count);
        if !rest.is_empty() {
            answers.push(rest);
        }
        Ok(Some(count))
    }

    fn wait_for_room(&mut self, _sending: bool) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: Input| {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let server = Server {
        answers: Rc::clone(&answers),
        room: usize::from(input.room) + 1,
    };
    let device = Filesystem::new("volumes", vec![Box::new(server)]).expect("a device");
    let mut pieces = input.answers.into_iter();
    Attacker::new(device).run(&input.steps, |attacker| {
        answers.borrow_mut().extend(pieces.next());
        let heard = attacker
            .guest
            .bus
            .with_device(attacker.id, |device: &mut Filesystem| {
                device.channel_ready(0)
            });
        // A server that breaks the protocol is an error that the VMM hears.
        drop(heard.expect("the device"));
        attacker.settle();
    });
});
