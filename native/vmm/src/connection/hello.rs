// SPDX-License-Identifier: Apache-2.0
use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use lightvm_protocol::agent::StreamHello;
use lightvm_protocol::framing::{FrameDecoder, FrameError};
use lightvm_protocol::vmm::{ClientHello, client_hello::Purpose};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::Control;
use crate::guest::{Client, StreamName};
use crate::poller::PolledSocket;

/// Descriptors that one hello may carry; the kernel drops what does not fit.
const MAX_DESCRIPTORS: usize = 4;

/// A hello is far shorter; whoever sends more without completing one speaks something else.
const MAX_HELLO_BYTES: usize = 4096;

/// Why a connection was closed before it was for anything.
#[derive(Debug)]
pub(crate) enum HelloError {
    /// The client closed it.
    Ended,
    /// The client speaks another protocol, or says nonsense in ours.
    Protocol(String),
    /// The socket failed.
    Io(io::Error),
}

impl fmt::Display for HelloError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => out.write_str("closed before its hello"),
            Self::Protocol(what) => out.write_str(what),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl From<FrameError> for HelloError {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// What a connection turned out to be.
#[derive(Debug)]
pub(crate) enum Greeting {
    /// Its hello has not come whole.
    Incomplete(Hello),
    /// CONTROL.
    Control(Control),
    /// STREAM or ATTACH.
    Stream(StreamName, Client),
    /// FILES, each with its token; the client waits for its byte.
    Files(Vec<(u64, OwnedFd)>, PolledSocket),
}

/// A connection that has not said what it is for.
#[derive(Debug)]
pub(crate) struct Hello {
    socket: PolledSocket,
    decoder: FrameDecoder,
    descriptors: Vec<OwnedFd>,
}

impl Hello {
    /// A new connection.
    pub(crate) fn new(socket: PolledSocket) -> Self {
        Self {
            socket,
            decoder: FrameDecoder::new(),
            descriptors: Vec::new(),
        }
    }

    /// Reads on. A connection that fails is closed by dropping it.
    pub(crate) fn receive(mut self) -> Result<Greeting, HelloError> {
        loop {
            let mut buffer = [0; MAX_HELLO_BYTES];
            match self.receive_bytes(&mut buffer)? {
                None => return Ok(Greeting::Incomplete(self)),
                Some(0) => return Err(HelloError::Ended),
                Some(count) => self.decoder.push(&buffer[..count]),
            }
            if let Some(hello) = self.decoder.next_message::<ClientHello>()? {
                return self.greet(hello);
            }
            if self.decoder.pending_bytes() >= MAX_HELLO_BYTES {
                return Err(HelloError::Protocol("a hello that is too long".into()));
            }
        }
    }

    fn greet(self, hello: ClientHello) -> Result<Greeting, HelloError> {
        match hello.purpose() {
            Purpose::Control => Ok(Greeting::Control(Control::new(self.socket, self.decoder))),
            Purpose::Stream => {
                let wanted = |name: &StreamName| !name.is_of_container();
                self.stream(hello.stream, true, wanted)
            }
            Purpose::Attach => {
                self.stream(hello.stream, hello.ends_stdin, StreamName::is_of_container)
            }
            Purpose::Files => self.files(hello.file_tokens),
            Purpose::Unspecified => Err(HelloError::Protocol("a hello without a purpose".into())),
        }
    }

    fn files(self, tokens: Vec<u64>) -> Result<Greeting, HelloError> {
        if tokens.is_empty() || tokens.len() != self.descriptors.len() {
            let (named, came) = (tokens.len(), self.descriptors.len());
            let message = format!("{named} tokens with {came} descriptors");
            return Err(HelloError::Protocol(message));
        }
        let files = tokens.into_iter().zip(self.descriptors).collect();
        Ok(Greeting::Files(files, self.socket))
    }

    fn stream(
        mut self,
        name: Option<StreamHello>,
        ends_stdin: bool,
        is_wanted: impl Fn(&StreamName) -> bool,
    ) -> Result<Greeting, HelloError> {
        let name = name.and_then(StreamName::new).filter(is_wanted);
        let name = name.ok_or_else(|| HelloError::Protocol("a stream without its name".into()))?;
        let client = Client::new(self.socket, self.decoder.take_rest(), ends_stdin);
        Ok(Greeting::Stream(name, client))
    }

    /// Receives bytes, and the descriptors that came with them. Too many are closed.
    fn receive_bytes(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, HelloError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut slices = [IoSliceMut::new(buffer)];
        let received = match recvmsg(self.socket.as_fd(), &mut slices, &mut ancillary, flags) {
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(HelloError::Io(error.into())),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                let room = MAX_DESCRIPTORS - self.descriptors.len();
                self.descriptors.extend(descriptors.take(room));
            }
        }
        Ok(Some(received))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{IoSlice, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    use lightvm_protocol::agent::Stream;
    use lightvm_protocol::framing::encode_frame;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;
    use crate::poller::{Poller, Token};

    fn pair() -> (Hello, UnixStream) {
        let poller = Rc::new(Poller::new().unwrap());
        let (near, far) = UnixStream::pair().unwrap();
        (
            Hello::new(PolledSocket::new(near.into(), Token(1), &poller).unwrap()),
            far,
        )
    }

    fn hello(purpose: Purpose) -> ClientHello {
        ClientHello {
            purpose: purpose.into(),
            ..ClientHello::default()
        }
    }

    fn files_hello(tokens: &[u64]) -> ClientHello {
        ClientHello {
            file_tokens: tokens.to_vec(),
            ..hello(Purpose::Files)
        }
    }

    fn frame(hello: &ClientHello) -> Vec<u8> {
        let mut frame = Vec::new();
        encode_frame(hello, &mut frame).unwrap();
        frame
    }

    fn greet(bytes: &[u8]) -> Result<Greeting, HelloError> {
        let (near, mut far) = pair();
        far.write_all(bytes).unwrap();
        near.receive()
    }

    fn send_with_files(far: &UnixStream, bytes: &[u8], files: &[&File]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(
            far,
            &[IoSlice::new(bytes)],
            &mut ancillary,
            SendFlags::empty(),
        )
        .unwrap();
    }

    #[test]
    fn a_hello_may_come_byte_by_byte() {
        let (mut near, mut far) = pair();
        let bytes = frame(&hello(Purpose::Control));
        for byte in &bytes[..bytes.len() - 1] {
            far.write_all(&[*byte]).unwrap();
            let Ok(Greeting::Incomplete(rest)) = near.receive() else {
                panic!()
            };
            near = rest;
        }
        far.write_all(&bytes[bytes.len() - 1..]).unwrap();
        assert!(matches!(near.receive(), Ok(Greeting::Control(_))));
    }

    #[test]
    fn files_come_with_the_first_byte() {
        let (near, mut far) = pair();
        let bytes = frame(&files_hello(&[8, 9]));
        let path = crate::test_files::TestFile::new("handed");
        std::fs::write(path.path(), "text").unwrap();
        let handed = File::open(path.path()).unwrap();
        let other = File::open("/dev/null").unwrap();
        send_with_files(&far, &bytes[..1], &[&other, &handed]);
        let Ok(Greeting::Incomplete(near)) = near.receive() else {
            panic!()
        };
        far.write_all(&bytes[1..]).unwrap();
        let Ok(Greeting::Files(mut files, socket)) = near.receive() else {
            panic!()
        };
        let (token, file) = files.pop().unwrap();
        assert_eq!((token, files[0].0), (9, 8));
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert_eq!(socket.send(&[0]).unwrap(), 1);
    }

    #[test]
    fn each_file_has_a_token_and_each_token_a_file() {
        let file = File::open("/dev/null").unwrap();
        for (tokens, files) in [(0, 0), (1, 0), (0, 1), (2, 1), (1, 2), (5, 5), (8, 8)] {
            let (near, far) = pair();
            let tokens: Vec<u64> = (1..=tokens).collect();
            send_with_files(&far, &frame(&files_hello(&tokens)), &vec![&file; files]);
            assert!(near.receive().is_err(), "{tokens:?} with {files}");
        }
    }

    #[test]
    fn a_stream_has_a_name() {
        let stream = StreamHello {
            exec_id: "e".into(),
            stream: Stream::Stdin.into(),
            ..StreamHello::default()
        };
        let named = ClientHello {
            stream: Some(stream),
            ..hello(Purpose::Stream)
        };
        assert!(matches!(greet(&frame(&named)), Ok(Greeting::Stream(..))));
        let unnamed = ClientHello {
            stream: Some(StreamHello::default()),
            ..named.clone()
        };
        assert!(greet(&frame(&unnamed)).is_err());
        assert!(greet(&frame(&hello(Purpose::Stream))).is_err());
        // That of an exec can't be attached to, and a container's is not waited for.
        let attached = ClientHello {
            purpose: Purpose::Attach.into(),
            ..named.clone()
        };
        assert!(greet(&frame(&attached)).is_err());
        let of_container = StreamHello {
            stream: Stream::Stdin.into(),
            ..StreamHello::default()
        };
        let attached = ClientHello {
            stream: Some(of_container),
            ..attached
        };
        assert!(matches!(greet(&frame(&attached)), Ok(Greeting::Stream(..))));
        let waiting = ClientHello {
            purpose: Purpose::Stream.into(),
            ..attached
        };
        assert!(greet(&frame(&waiting)).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(greet(&frame(&hello(Purpose::Files))).is_err());
        assert!(greet(&frame(&hello(Purpose::Unspecified))).is_err());
        assert!(
            greet(&frame(&ClientHello {
                purpose: 99,
                ..ClientHello::default()
            }))
            .is_err()
        );
        assert!(greet(&[0xff; 16]).is_err());
        assert!(greet(&[0, 0, 1, 0, 0, 0]).is_ok());
        let (near, mut far) = pair();
        far.write_all(&[0, 0, 1, 0]).unwrap();
        far.write_all(&[0; 5000]).unwrap();
        assert!(near.receive().is_err());
    }

    #[test]
    fn a_client_may_change_its_mind() {
        let (near, far) = pair();
        drop(far);
        assert!(matches!(near.receive(), Err(HelloError::Ended)));
    }
}
