// SPDX-License-Identifier: Apache-2.0
//! virtio-net: frames of a guest and of its tap, for which a pair of sockets stands.
#![no_main]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use lightvm_devices::{Network, NetworkOptions};
use lightvm_fuzz::{Attacker, Step};

#[derive(Arbitrary, Debug)]
struct Input {
    offloads: bool,
    steps: Vec<Step>,
    /// What the tap brings, one after each step.
    frames: Vec<Vec<u8>>,
}

fuzz_target!(|input: Input| {
    let (near, far) = UnixDatagram::pair().expect("sockets");
    near.set_nonblocking(true).expect("a socket");
    far.set_nonblocking(true).expect("a socket");
    let tap = Rc::new(File::from(OwnedFd::from(near)));
    let options = NetworkOptions {
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
        offloads: input.offloads,
    };
    let mut frames = input.frames.iter();
    let mut attacker = Attacker::new(Network::new(tap, options));
    attacker.run(&input.steps, |attacker| {
        while far.recv(&mut [0; 1 << 17]).is_ok() {}
        if let Some(frame) = frames.next() {
            // A frame that the socket does not take is lost, as on a wire.
            let _lost = far.send(frame);
            let woken = attacker
                .guest
                .bus
                .with_device(attacker.id, |_: &mut Network| {});
            woken.expect("the device");
            attacker.settle();
        }
    });
});
