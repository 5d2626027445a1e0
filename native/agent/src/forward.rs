// SPDX-License-Identifier: Apache-2.0
//! TCP connections into the pod on behalf of the host.
//!
//! ```text
//!                 refused: the next address, then a failure
//!               ┌────────┐
//!   PortForward ▼        │ accepted         both directions over, or reset
//!   ──────► connecting ──┴─────────► open ─────────────────────────────────► gone
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lightvm_protocol::agent::{Empty, PortForward, StreamHello, agent_message::Body};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, send, socket_with};

use crate::error::{CallError, During};
use crate::relay::{OnLost, Relay};
use crate::vsock::{Host, open_stream};

/// How long a server in the pod may take to accept, which it does at once unless it is swamped.
const DEADLINE: Duration = Duration::from_secs(8);

/// Connections at once, those that wait included.
const MAX_FORWARDS: usize = 128;

/// Where a server may listen, in the order in which it is looked for.
const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// All forwarded connections of the pod.
#[derive(Debug, Default)]
pub struct Forwards {
    connecting: Vec<Connecting>,
    open: Vec<Open>,
}

/// A connection that the pod has not accepted yet.
#[derive(Debug)]
struct Connecting {
    /// Of the call that is to be answered.
    id: u64,
    request: PortForward,
    socket: OwnedFd,
    /// Index in [`ADDRESSES`].
    address: usize,
    deadline: Instant,
}

#[derive(Debug)]
struct Open {
    to_pod: Relay,
    to_host: Relay,
    /// The connection to the host.
    host: OwnedFd,
}

/// The answer to a call.
pub type Answer = (u64, Result<Body, CallError>);

impl Forwards {
    /// Begins to connect; the answer comes from [`Forwards::advance`].
    pub fn begin(&mut self, id: u64, request: PortForward) -> Result<(), CallError> {
        if self.connecting.len() + self.open.len() >= MAX_FORWARDS {
            let message = format!("{MAX_FORWARDS} connections are forwarded already");
            return Err(CallError::precondition(message));
        }
        let port = u16::try_from(request.port).unwrap_or(0);
        if port == 0 {
            return Err(CallError::invalid(format!(
                "there is no port {}",
                request.port
            )));
        }
        let socket = dial(0, port).during(format_args!("connect to port {port}"))?;
        let deadline = Instant::now() + DEADLINE;
        self.connecting.push(Connecting {
            id,
            request,
            socket,
            address: 0,
            deadline,
        });
        Ok(())
    }

    /// What to wait for before [`Forwards::wake`].
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let open = self.open.iter().flat_map(Open::interests);
        let connecting = self.connecting.iter();
        open.chain(connecting.map(|it| (it.socket.as_fd(), PollFlags::OUT)))
    }

    /// Moves what can be moved; takes what poll has reported for [`Forwards::interests`].
    pub fn wake(&mut self, happened: &mut impl Iterator<Item = PollFlags>, scratch: &mut [u8]) {
        for open in &mut self.open {
            open.wake(happened, scratch);
        }
        self.open.retain(|open| !open.is_over());
    }

    /// When [`Forwards::advance`] has something to do at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.connecting.iter().map(|it| it.deadline).min()
    }

    /// Takes the next step of every connection that is not open yet.
    pub fn advance(&mut self, host: &dyn Host) -> Vec<Answer> {
        let mut answers = Vec::new();
        for waiting in std::mem::take(&mut self.connecting) {
            let id = waiting.id;
            match waiting.advance(host) {
                Ok(Step::Open(open)) => {
                    self.open.push(open);
                    answers.push((id, Ok(Body::Done(Empty {}))));
                }
                Ok(Step::Waiting(waiting)) => self.connecting.push(waiting),
                Err(error) => answers.push((id, Err(error))),
            }
        }
        answers
    }
}

enum Step {
    Waiting(Connecting),
    Open(Open),
}

impl Connecting {
    fn advance(mut self, host: &dyn Host) -> Result<Step, CallError> {
        let what = format!("connect to port {}", self.request.port);
        match socket_error(&self.socket).during(&what)? {
            Ok(()) if is_connected(&self.socket) => self.open(host).map(Step::Open),
            Ok(()) if self.deadline > Instant::now() => Ok(Step::Waiting(self)),
            Ok(()) => Err(CallError::internal(format!(
                "could not {what}: nobody accepts"
            ))),
            Err(error) if self.address + 1 == ADDRESSES.len() => Err(error).during(what),
            Err(_) => {
                self.address += 1;
                let port = u16::try_from(self.request.port).unwrap_or(0);
                self.socket = dial(self.address, port).during(what)?;
                self.advance(host)
            }
        }
    }

    fn open(self, host: &dyn Host) -> Result<Open, CallError> {
        let hello = StreamHello {
            forward_id: self.request.forward_id,
            ..StreamHello::default()
        };
        let stream = open_stream(host, &hello).during("connect to the host")?;
        Open::new(self.socket, stream).during("forward a connection")
    }
}

/// Starts to connect. Loopback connections are made or refused before this returns, unless the
/// server's queue is full.
fn dial(address: usize, port: u16) -> Result<OwnedFd, Errno> {
    let address = SocketAddr::new(ADDRESSES[address], port);
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn is_connected(socket: &OwnedFd) -> bool {
    rustix::net::getpeername(socket).is_ok()
}

impl Open {
    fn new(pod: OwnedFd, host: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            to_pod: Relay::new(host.try_clone()?, pod.try_clone()?, OnLost::Discard)?,
            to_host: Relay::new(pod, host.try_clone()?, OnLost::Discard)?,
            host,
        })
    }

    fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.to_pod.interests().chain(self.to_host.interests())
    }

    fn wake(&mut self, happened: &mut impl Iterator<Item = PollFlags>, scratch: &mut [u8]) {
        for relay in [&mut self.to_pod, &mut self.to_host] {
            let watched = relay.interests().count();
            let happened: Vec<_> = happened.by_ref().take(watched).collect();
            relay.wake(&happened, scratch);
        }
    }

    fn is_over(&self) -> bool {
        self.to_pod.is_finished() && (self.to_host.is_finished() || self.host_is_gone())
    }

    /// A half-closed connection and one that was reset read the same; only this one takes nothing.
    fn host_is_gone(&self) -> bool {
        matches!(
            send(&self.host, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT),
            Err(Errno::PIPE | Errno::NOTCONN | Errno::CONNRESET)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use lightvm_protocol::agent::failure::Code;
    use lightvm_protocol::framing::FrameDecoder;
    use rustix::event::{PollFd, poll};

    use super::*;

    struct Connections(Sender<UnixStream>);

    impl Host for Connections {
        fn connect(&self, _port: u32) -> io::Result<OwnedFd> {
            let (ours, theirs) = UnixStream::pair()?;
            self.0.send(theirs).map_err(io::Error::other)?;
            Ok(ours.into())
        }
    }

    struct Pod {
        forwards: Forwards,
        host: Connections,
        streams: Receiver<UnixStream>,
    }

    impl Pod {
        fn new() -> Self {
            let (sender, streams) = channel();
            Self {
                forwards: Forwards::default(),
                host: Connections(sender),
                streams,
            }
        }

        fn forward(&mut self, port: u16) -> Result<Body, CallError> {
            let request = PortForward {
                forward_id: "f".into(),
                port: port.into(),
            };
            self.forwards.begin(7, request).unwrap();
            loop {
                if let Some((id, answer)) = self.forwards.advance(&self.host).pop() {
                    assert_eq!(id, 7);
                    return answer;
                }
                self.turn();
            }
        }

        fn turn(&mut self) {
            let mut watched: Vec<_> = self
                .forwards
                .interests()
                .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags))
                .collect();
            poll(&mut watched, None).unwrap();
            let happened: Vec<_> = watched.iter().map(PollFd::revents).collect();
            self.forwards
                .wake(&mut happened.into_iter(), &mut [0; 1024]);
        }

        fn stream(&self) -> UnixStream {
            let mut stream = self.streams.recv().unwrap();
            let mut decoder = FrameDecoder::new();
            let mut byte = [0];
            loop {
                if let Some(hello) = decoder.next_message::<StreamHello>().unwrap() {
                    assert_eq!(hello.forward_id, "f");
                    return stream;
                }
                stream.read_exact(&mut byte).unwrap();
                decoder.push(&byte);
            }
        }
    }

    fn open(address: &str) -> (Pod, UnixStream, TcpStream) {
        let server = TcpListener::bind(address).unwrap();
        let mut pod = Pod::new();
        pod.forward(server.local_addr().unwrap().port()).unwrap();
        let (stream, peer) = (pod.stream(), server.accept().unwrap().0);
        (pod, stream, peer)
    }

    #[test]
    fn each_direction_ends_by_itself() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut pod, mut stream, mut peer) = open(address);
            stream.write_all(b"question").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            pod.turn();
            let mut text = String::new();
            while pod.forwards.open[0].to_pod.interests().count() > 0 {
                pod.turn();
            }
            peer.read_to_string(&mut text).unwrap();
            assert_eq!(text, "question");
            peer.write_all(b"answer").unwrap();
            drop(peer);
            while !pod.forwards.open.is_empty() {
                pod.turn();
            }
            text.clear();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "answer");
        }
    }

    #[test]
    fn a_host_that_is_gone_ends_both() {
        let (mut pod, stream, mut peer) = open("127.0.0.1:0");
        drop(stream);
        while !pod.forwards.open.is_empty() {
            pod.turn();
        }
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn nobody_listens() {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = Pod::new().forward(free).unwrap_err();
        assert!(error.message.contains("refused"), "{error}");
        let begun = Pod::new().forwards.begin(1, PortForward::default());
        assert_eq!(begun.unwrap_err().code, Code::Invalid);
    }
}
