// SPDX-License-Identifier: Apache-2.0
//! Messages on a byte stream: a four-byte little-endian length, then that many bytes of protobuf.

use std::fmt;

use prost::Message;

/// Most bytes of one message, without its length.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Bytes of the length in front of a message.
const LENGTH_BYTES: usize = 4;

/// Why a byte stream can't be read on: the peer does not speak the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A length above [`MAX_MESSAGE_BYTES`].
    TooLong(usize),
    /// Bytes that are no message of the expected type.
    Malformed(prost::DecodeError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(
                    out,
                    "message of {length} bytes, at most {MAX_MESSAGE_BYTES} are allowed"
                )
            }
            Self::Malformed(_) => write!(out, "malformed message"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLong(_) => None,
            Self::Malformed(error) => Some(error),
        }
    }
}

/// Appends `message` with its length to `out`.
///
/// # Errors
///
/// [`FrameError::TooLong`] when no peer would accept it; `out` is unchanged then.
pub fn encode_frame(message: &impl Message, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let length = message.encoded_len();
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_MESSAGE_BYTES => {
            out.reserve(LENGTH_BYTES + length);
            out.extend_from_slice(&prefix.to_le_bytes());
            message.encode_raw(out);
            Ok(())
        }
        _ => Err(FrameError::TooLong(length)),
    }
}

/// Finds the messages in bytes that arrive in pieces of any size.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that have been given out already.
    consumed: usize,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed. After an error the stream is over.
    ///
    /// # Errors
    ///
    /// The peer announced too much, or sent what is no `M`.
    pub fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        match self.next_frame()? {
            Some(bytes) => M::decode(bytes).map(Some).map_err(FrameError::Malformed),
            None => Ok(None),
        }
    }

    /// The bytes of the next whole message, undecoded.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLong`], as soon as the length has arrived.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let pending = &self.buffer[self.consumed..];
        let Some(prefix) = pending.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let start = self.consumed + LENGTH_BYTES;
        if self.buffer.len() < start + length {
            return Ok(None);
        }
        self.consumed = start + length;
        Ok(Some(&self.buffer[start..start + length]))
    }

    /// Takes the bytes behind the last message: what a connection carries raw after its hello.
    #[must_use]
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        std::mem::take(&mut self.buffer)
    }

    /// Bytes that have arrived and are no whole message yet.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.consumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{HostMessage, Ping, host_message::Call};

    fn ping(id: u64) -> HostMessage {
        HostMessage {
            id,
            call: Some(Call::Ping(Ping {})),
        }
    }

    #[test]
    fn finds_messages_in_single_bytes() {
        let mut bytes = Vec::new();
        encode_frame(&ping(1), &mut bytes).unwrap();
        encode_frame(&ping(u64::MAX), &mut bytes).unwrap();
        let mut decoder = FrameDecoder::new();
        let mut found = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            found.extend(decoder.next_message::<HostMessage>().unwrap());
        }
        assert_eq!(found, [ping(1), ping(u64::MAX)]);
        assert_eq!(decoder.pending_bytes(), 0);
    }

    #[test]
    fn gives_out_what_follows_a_hello() {
        let mut bytes = Vec::new();
        encode_frame(&ping(1), &mut bytes).unwrap();
        bytes.extend_from_slice(b"raw");
        let mut decoder = FrameDecoder::new();
        decoder.push(&bytes);
        assert_eq!(decoder.next_message(), Ok(Some(ping(1))));
        assert_eq!(decoder.take_rest(), b"raw");
        assert_eq!(decoder.take_rest(), b"");
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&[0, 0, 0, 0]);
        assert_eq!(decoder.next_message(), Ok(Some(Ping {})));
        assert_eq!(decoder.next_message::<Ping>(), Ok(None));
    }

    #[test]
    fn refuses_a_length_before_its_bytes_arrive() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&(4_194_305_u32).to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(4_194_305)));
    }

    #[test]
    fn refuses_what_is_no_message() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&[2, 0, 0, 0, 0xff, 0xff]);
        assert!(matches!(
            decoder.next_message::<Ping>(),
            Err(FrameError::Malformed(_))
        ));
    }
}
