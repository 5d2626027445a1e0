// SPDX-License-Identifier: Apache-2.0
//! virtio-vsock: packets of a guest, among the calls that the VMM makes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use lightvm_devices::test_support::Packet;
use lightvm_devices::{ConnectionId, Vsock, VsockOptions};
use lightvm_fuzz::{Attacker, Step};

const TRANSMIT: u8 = 1;

#[derive(Arbitrary, Debug)]
enum Act {
    Guest(Step),
    Packet {
        operation: u16,
        source: u8,
        agent: bool,
        flags: u32,
        credit: (u32, u32),
        data: Vec<u8>,
    },
    Consume(u8, u16),
    Send(u8, u16),
    Shutdown(u8),
    Reset(u8),
}

fn options() -> VsockOptions {
    VsockOptions {
        max_connections: 4,
        receive_buffer: 8192,
        send_buffer: 8192,
        ..VsockOptions::new(3, &[1024, 1025])
    }
}

fn packet(operation: u16, source: u8, agent: bool, data: &[u8]) -> Packet {
    let port = if agent { 1024 } else { 1025 };
    Packet::new(operation % 9, u32::from(source), port, data)
}

fn host<R>(attacker: &mut Attacker, act: impl FnOnce(&mut Vsock) -> R) {
    let id = attacker.id;
    let done = attacker.guest.bus.with_device(id, act);
    done.map(drop).expect("the device");
    attacker.settle();
}

fuzz_target!(|acts: Vec<Act>| {
    let mut attacker = Attacker::new(Vsock::new(options()));
    for act in acts.iter().take(64) {
        match act {
            Act::Guest(step) => {
                attacker.take(step);
            }
            Act::Packet {
                operation,
                source,
                agent,
                flags,
                credit,
                data,
            } => {
                let packet = packet(*operation, *source, *agent, data)
                    .flags(*flags)
                    .credit(credit.0, credit.1);
                attacker.take(&Step::Request {
                    ring: TRANSMIT,
                    bytes: packet.to_bytes(),
                    room: 0,
                });
            }
            Act::Consume(id, count) => {
                let id = ConnectionId(u64::from(*id));
                host(&mut attacker, |vsock| {
                    vsock.consume(id, usize::from(*count))
                });
            }
            Act::Send(id, count) => {
                let bytes = vec![7; usize::from(*count)];
                let id = ConnectionId(u64::from(*id));
                host(&mut attacker, |vsock| vsock.send(id, &bytes).is_ok());
            }
            Act::Shutdown(id) => {
                let id = ConnectionId(u64::from(*id));
                host(&mut attacker, |vsock| vsock.shutdown(id));
            }
            Act::Reset(id) => {
                let id = ConnectionId(u64::from(*id));
                host(&mut attacker, |vsock| vsock.reset_connection(id));
            }
        }
    }
});
