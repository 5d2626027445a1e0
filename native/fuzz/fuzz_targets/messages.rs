// SPDX-License-Identifier: Apache-2.0
//! What an agent may send: messages of its protocol, in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lightvm_protocol::agent::AgentMessage;
use lightvm_protocol::framing::{FrameDecoder, encode_frame};

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut decoder = FrameDecoder::new();
    for piece in &pieces {
        decoder.push(piece);
        loop {
            match decoder.next_message::<AgentMessage>() {
                Ok(Some(message)) => {
                    // What was understood can be said again.
                    encode_frame(&message, &mut Vec::new()).expect("a message of its size");
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
