// SPDX-License-Identifier: Apache-2.0
//! What the event loop waits for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown};

/// Events taken in one go; more stay in the kernel until the next turn.
const MAX_EVENTS: usize = 256;

/// Names a descriptor in the events of a [`Poller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u64);

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Whose event it is.
    pub(crate) token: Token,
    /// There is something to read, or the end of it.
    pub(crate) readable: bool,
    /// There is room to write.
    pub(crate) writable: bool,
    /// The other side is gone for both directions.
    pub(crate) hung_up: bool,
}

/// What someone waits for; a hang-up is always reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    /// Something to read.
    pub(crate) read: bool,
    /// Room to write.
    pub(crate) write: bool,
}

impl Interest {
    /// Something to read and nothing else.
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };

    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags
    }
}

/// One epoll descriptor, level-triggered.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// Waits for nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// Waits for `source` too. It leaves the poller when its last descriptor is closed.
    pub(crate) fn add(
        &self,
        source: BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(token.0),
            interest.flags(),
        )?)
    }

    /// Waits for something else of a source that was added; its end is always reported.
    pub(crate) fn change(
        &self,
        source: BorrowedFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(token.0);
        Ok(epoll::modify(&self.epoll, source, data, interest.flags())?)
    }

    /// Waits for nothing of this source any more, not for its end either.
    pub(crate) fn remove(&self, source: BorrowedFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Appends what is ready, after `deadline` at the latest.
    pub(crate) fn wait(&self, deadline: Option<Instant>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(MAX_EVENTS);
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(timespec);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(events.iter().map(|event| {
            // Copied out: the structure is packed.
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: Token(data.u64()),
                readable: flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                hung_up: flags.intersects(EventFlags::HUP | EventFlags::ERR),
            }
        }));
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A connected socket in a poller. No call blocks.
#[derive(Debug)]
pub(crate) struct PolledSocket {
    fd: OwnedFd,
    token: Token,
    poller: Rc<Poller>,
    interest: Interest,
    watched: bool,
}

impl PolledSocket {
    /// Waits for something to read on `fd`.
    pub(crate) fn new(fd: OwnedFd, token: Token, poller: &Rc<Poller>) -> io::Result<Self> {
        poller.add(fd.as_fd(), token, Interest::READ)?;
        Ok(Self {
            fd,
            token,
            poller: Rc::clone(poller),
            interest: Interest::READ,
            watched: true,
        })
    }

    /// Its name in events.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Reports nothing more, not even a hang-up.
    pub(crate) fn unwatch(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.watched, false) {
            self.poller.remove(self.fd.as_fd())?;
        }
        Ok(())
    }

    /// Sends nothing more.
    pub(crate) fn shut_down_writing(&self) -> io::Result<()> {
        Ok(shutdown(&self.fd, Shutdown::Write)?)
    }

    /// Changes what it waits for.
    pub(crate) fn wait_for(&mut self, interest: Interest) -> io::Result<()> {
        if self.watched && self.interest != interest {
            self.poller.change(self.fd.as_fd(), self.token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }

    /// Sends what the socket takes now; 0 when it takes nothing.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.fd, bytes, flags) {
            Ok(length) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives what is there: `None` when nothing is, `Some(0)` at the end.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::net::recv(&self.fd, buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for PolledSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ready(poller: &Poller) -> Vec<Ready> {
        let mut ready = Vec::new();
        poller.wait(Some(Instant::now()), &mut ready).unwrap();
        ready
    }

    #[test]
    fn reports_what_was_asked_for() {
        let poller = Rc::new(Poller::new().unwrap());
        let (near, far) = UnixStream::pair().unwrap();
        let mut socket = PolledSocket::new(near.into(), Token(9), &poller).unwrap();
        assert_eq!(ready(&poller), []);
        socket
            .wait_for(Interest {
                read: true,
                write: true,
            })
            .unwrap();
        let token = Token(9);
        let writable = Ready {
            token,
            readable: false,
            writable: true,
            hung_up: false,
        };
        assert_eq!(ready(&poller), [writable]);
        socket.wait_for(Interest::default()).unwrap();
        drop(far);
        let gone = Ready {
            token,
            readable: false,
            writable: false,
            hung_up: true,
        };
        assert_eq!(ready(&poller), [gone]);
        socket.unwatch().unwrap();
        socket.wait_for(Interest::READ).unwrap();
        assert_eq!(ready(&poller), []);
        assert_eq!(socket.receive(&mut [0; 8]).unwrap(), Some(0));
    }

    #[test]
    fn nothing_blocks() {
        let poller = Rc::new(Poller::new().unwrap());
        let (near, far) = UnixStream::pair().unwrap();
        let socket = PolledSocket::new(near.into(), Token(0), &poller).unwrap();
        assert_eq!(socket.receive(&mut [0; 8]).unwrap(), None);
        while socket.send(&[0; 65536]).unwrap() > 0 {}
        drop(far);
        assert!(socket.send(&[0]).is_err());
    }
}
