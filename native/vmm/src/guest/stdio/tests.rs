// SPDX-License-Identifier: Apache-2.0
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Instant;

use lightvm_protocol::agent::Stream;
use lightvm_protocol::framing::encode_frame;

use super::super::link::fake::FakeLink;
use super::*;
use crate::logs::ContainerLog;
use crate::poller::{PolledSocket, Poller};
use crate::test_files::TestFile;

const ID: ConnectionId = ConnectionId(1);

fn hello(exec_id: &str, stream: Stream) -> StreamHello {
    StreamHello {
        container_id: "c".into(),
        exec_id: exec_id.into(),
        stream: stream.into(),
        ..StreamHello::default()
    }
}

fn name(exec_id: &str, stream: Stream) -> StreamName {
    StreamName::new(hello(exec_id, stream)).unwrap()
}

fn forward() -> StreamHello {
    StreamHello {
        forward_id: "f".into(),
        ..StreamHello::default()
    }
}

/// One guest with its stdio, and a poller that says whose turn it is.
struct Scene {
    stdio: Stdio,
    guest: FakeLink,
    logs: ContainerLogs,
    report: Report,
    poller: Rc<Poller>,
    last_token: u64,
}

impl Scene {
    fn new() -> Self {
        Self {
            stdio: Stdio::default(),
            guest: FakeLink::default(),
            logs: ContainerLogs::default(),
            report: Report::default(),
            poller: Rc::new(Poller::new().unwrap()),
            last_token: 0,
        }
    }

    fn client(&mut self, name: StreamName, first: &[u8]) -> UnixStream {
        self.client_that(name, first, true)
    }

    fn client_that(&mut self, name: StreamName, first: &[u8], ends_stdin: bool) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        self.last_token += 1;
        let token = Token(self.last_token);
        let socket = PolledSocket::new(near.into(), token, &self.poller).unwrap();
        let client = Client::new(socket, first.to_vec(), ends_stdin);
        self.stdio
            .add_client(name, client, &mut self.guest)
            .unwrap();
        far
    }

    fn open_forward(&mut self) {
        self.stdio.opened(ID);
        let mut frame = Vec::new();
        encode_frame(&forward(), &mut frame).unwrap();
        self.say(&frame);
    }

    fn writable(&mut self) {
        self.stdio
            .writable(ID, &mut self.guest, &mut self.logs, &mut self.report);
    }

    fn log_to(&mut self, file: &TestFile) {
        let log = ContainerLog {
            file: Some(file.append()),
            terminal: false,
        };
        self.logs.set("c".into(), log, &mut self.report);
    }

    fn open(&mut self, exec_id: &str, stream: Stream) {
        self.stdio.opened(ID);
        let mut frame = Vec::new();
        encode_frame(&hello(exec_id, stream), &mut frame).unwrap();
        self.say(&frame);
    }

    fn say(&mut self, bytes: &[u8]) {
        self.guest.pipe(ID).to_host.extend_from_slice(bytes);
        self.stdio
            .receive(ID, &mut self.guest, &mut self.logs, &mut self.report);
    }

    fn shut_down(&mut self) {
        self.stdio
            .shut_down(ID, &mut self.guest, &mut self.logs, &mut self.report);
    }

    fn close(&mut self) {
        self.stdio
            .closed(ID, &mut self.guest, &mut self.logs, &mut self.report);
    }

    /// Handles what is ready; the number of events.
    fn poll(&mut self) -> usize {
        let mut ready = Vec::new();
        self.poller.wait(Some(Instant::now()), &mut ready).unwrap();
        for event in &ready {
            let Self {
                stdio,
                guest,
                logs,
                report,
                ..
            } = self;
            assert!(stdio.client_ready(*event, guest, logs, report));
        }
        ready.len()
    }
}

fn read(client: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Ends with WouldBlock when the stream has not.
    drop(client.read_to_end(&mut bytes));
    bytes
}

fn at_end(client: &mut UnixStream) -> bool {
    matches!(client.read(&mut [0]), Ok(0))
}

#[test]
fn output_of_a_container_goes_to_its_log() {
    let file = TestFile::new("stdio-log");
    let mut scene = Scene::new();
    scene.log_to(&file);
    scene.open("", Stream::Stderr);
    scene.say(b"one\ntw");
    scene.shut_down();
    scene.close();
    let lines: Vec<_> = file
        .text()
        .lines()
        .map(|line| line[31..].to_owned())
        .collect();
    assert_eq!(lines, ["stderr F one", "stderr P tw"]);
    assert!(scene.guest.pipe(ID).shut_down);
}

#[test]
fn output_of_an_exec_goes_to_the_client_that_waits() {
    let mut scene = Scene::new();
    let mut client = scene.client(name("e", Stream::Stdout), b"");
    scene.open("e", Stream::Stdout);
    scene.say(b"text");
    assert_eq!(read(&mut client), b"text");
    assert!(!at_end(&mut client));
    scene.shut_down();
    assert!(at_end(&mut client));
    assert_eq!(scene.poll(), 0);
}

#[test]
fn a_slow_client_makes_the_guest_wait() {
    let mut scene = Scene::new();
    let mut client = scene.client(name("e", Stream::Stdout), b"");
    scene.open("e", Stream::Stdout);
    let bytes = vec![7; 8 << 20];
    scene.say(&bytes);
    assert!(!scene.guest.pipe(ID).to_host.is_empty());
    scene.shut_down();
    let mut total = 0;
    while !scene.guest.pipe(ID).to_host.is_empty() {
        total += read(&mut client).len();
        assert_eq!(scene.poll(), 1);
    }
    total += read(&mut client).len();
    assert_eq!(total, bytes.len());
    assert!(at_end(&mut client));
}

#[test]
fn an_exec_hears_that_its_client_has_gone() {
    let mut scene = Scene::new();
    let client = scene.client(name("e", Stream::Stdout), b"");
    scene.open("e", Stream::Stdout);
    drop(client);
    assert_eq!(scene.poll(), 1);
    assert_eq!(scene.poll(), 0);
    assert!(scene.guest.pipe(ID).reset);
    assert!(scene.stdio.connections.is_empty());
}

#[test]
fn an_exec_may_have_output_that_nobody_wants() {
    let mut scene = Scene::new();
    scene.open("e", Stream::Stderr);
    scene.say(b"text");
    assert!(scene.guest.pipe(ID).to_host.is_empty());
    assert!(!scene.guest.pipe(ID).reset);
}

#[test]
fn attached_clients_get_what_the_log_gets_from_then_on() {
    let file = TestFile::new("stdio-attach");
    let mut scene = Scene::new();
    scene.log_to(&file);
    scene.open("", Stream::Stdout);
    scene.say(b"before\n");
    let mut first = scene.client(name("", Stream::Stdout), b"");
    let mut second = scene.client(name("", Stream::Stdout), b"");
    let mut other = scene.client(name("", Stream::Stderr), b"");
    assert!(at_end(&mut other));
    scene.say(b"both\n");
    assert_eq!(read(&mut first), b"both\n");
    drop(first);
    assert_eq!(scene.poll(), 1);
    scene.say(b"one\n");
    assert_eq!(read(&mut second), b"both\none\n");
    scene.shut_down();
    assert!(at_end(&mut second));
    assert!(!scene.guest.pipe(ID).reset);
    assert_eq!(file.text().lines().count(), 3);
}

#[test]
fn the_slowest_attached_client_slows_the_container() {
    let file = TestFile::new("stdio-slow");
    let mut scene = Scene::new();
    scene.log_to(&file);
    scene.open("", Stream::Stdout);
    let mut slow = scene.client(name("", Stream::Stdout), b"");
    let mut fast = scene.client(name("", Stream::Stdout), b"");
    let text = vec![b'x'; 2 << 20];
    scene.say(&text);
    assert!(!scene.guest.pipe(ID).to_host.is_empty());
    // Nobody gets anything twice, however often there is a try.
    let (mut to_fast, mut to_slow) = (0, 0);
    while scene.poll() > 0 || to_fast < text.len() || to_slow < text.len() {
        to_fast += read(&mut fast).len();
        to_slow += read(&mut slow).len();
    }
    assert_eq!((to_fast, to_slow), (text.len(), text.len()));
    assert!(scene.guest.pipe(ID).to_host.is_empty());
    scene.shut_down();
    let logged: usize = file.text().lines().map(|line| line.len() - 40).sum();
    assert_eq!(logged, text.len());
}

#[test]
fn a_full_log_makes_the_guest_wait() {
    let file = TestFile::new("stdio-full");
    let mut scene = Scene::new();
    let full = ContainerLog {
        file: Some(File::options().append(true).open("/dev/full").unwrap()),
        terminal: false,
    };
    scene.logs.set("c".into(), full, &mut scene.report);
    scene.open("", Stream::Stdout);
    let mut client = scene.client(name("", Stream::Stdout), b"");
    scene.say(b"one\n");
    scene.say(b"two\nthr");
    scene.say(b"ee");
    assert_eq!(scene.guest.pipe(ID).to_host, b"two\nthree");
    scene.shut_down();
    assert!(!scene.guest.pipe(ID).shut_down);
    // Who is attached gets what comes, as far as that can wait for the log.
    assert_eq!(read(&mut client), b"one\ntwo\nthree");
    assert!(!at_end(&mut client));

    scene.log_to(&file);
    let Scene {
        stdio,
        guest,
        logs,
        report,
        ..
    } = &mut scene;
    stdio.logs_ready(guest, logs, report);
    assert!(scene.guest.pipe(ID).shut_down);
    assert!(at_end(&mut client));
    let text = file.text();
    let texts: Vec<_> = text.lines().map(|line| &line[31..]).collect();
    assert_eq!(texts, ["stdout F one", "stdout F two", "stdout P three"]);
}

#[test]
fn a_client_that_stops_waiting_is_forgotten() {
    let mut scene = Scene::new();
    drop(scene.client(name("e", Stream::Stdout), b""));
    assert_eq!(scene.poll(), 1);
    assert_eq!(scene.poll(), 0);
    assert!(scene.stdio.waiting.is_empty());
}

#[test]
fn input_reaches_the_guest_as_it_takes_it() {
    let mut scene = Scene::new();
    let mut client = scene.client(name("e", Stream::Stdin), b"early ");
    scene.guest.pipe(ID).room = Some(8);
    client.write_all(b"and late").unwrap();
    scene.open("e", Stream::Stdin);
    assert_eq!(scene.guest.pipe(ID).to_guest, b"early an");
    assert_eq!(scene.poll(), 0);
    scene.guest.pipe(ID).room = None;
    scene.writable();
    assert_eq!(scene.guest.pipe(ID).to_guest, b"early and late");
    assert!(!scene.guest.pipe(ID).shut_down);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(scene.poll(), 1);
    assert!(scene.guest.pipe(ID).shut_down);
    assert_eq!(scene.poll(), 0);
}

#[test]
fn input_that_nobody_gives_ends_for_an_exec_and_waits_for_a_container() {
    let mut exec = Scene::new();
    exec.open("e", Stream::Stdin);
    assert!(exec.guest.pipe(ID).shut_down);

    let mut container = Scene::new();
    container.open("", Stream::Stdin);
    assert!(!container.guest.pipe(ID).shut_down);
    let _client = container.client(name("", Stream::Stdin), b"late");
    assert_eq!(container.guest.pipe(ID).to_guest, b"late");
}

#[test]
fn only_the_client_that_says_so_ends_a_containers_input() {
    let mut scene = Scene::new();
    scene.open("", Stream::Stdin);
    let mut first = scene.client_that(name("", Stream::Stdin), b"one ", false);
    let second = scene.client_that(name("", Stream::Stdin), b"two ", true);
    first.write_all(b"three").unwrap();
    drop(first);
    assert_eq!(scene.poll(), 1);
    assert_eq!(scene.guest.pipe(ID).to_guest, b"one two three");
    assert!(!scene.guest.pipe(ID).shut_down);
    drop(second);
    assert_eq!(scene.poll(), 1);
    assert!(scene.guest.pipe(ID).shut_down);
    let mut late = scene.client(name("", Stream::Stdin), b"late");
    assert_eq!(read(&mut late), b"");
    assert!(late.write_all(b"more").is_err());
}

#[test]
fn what_a_client_sent_before_it_closed_is_not_lost() {
    let mut scene = Scene::new();
    let mut client = scene.client(name("e", Stream::Stdin), b"");
    scene.open("e", Stream::Stdin);
    scene.guest.pipe(ID).room = Some(3);
    client.write_all(b"all of it").unwrap();
    drop(client);
    assert_eq!(scene.poll(), 1);
    assert_eq!(scene.poll(), 0);
    scene.guest.pipe(ID).room = None;
    scene.writable();
    assert_eq!(scene.guest.pipe(ID).to_guest, b"all of it");
    assert!(scene.guest.pipe(ID).shut_down);
}

#[test]
fn each_direction_of_a_forwarded_connection_ends_by_itself() {
    let mut scene = Scene::new();
    let forwarded = StreamName::new(forward()).unwrap();
    let mut client = scene.client(forwarded, b"early ");
    scene.open_forward();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(scene.poll(), 1);
    assert_eq!(scene.guest.pipe(ID).to_guest, b"early question");
    assert!(scene.guest.pipe(ID).shut_down);
    scene.say(b"answer");
    scene.shut_down();
    assert_eq!(read(&mut client), b"answer");
    assert!(at_end(&mut client));
    assert!(!scene.guest.pipe(ID).reset);
    assert_eq!(scene.poll(), 0);
    scene.close();
    assert!(scene.stdio.connections.is_empty());
}

#[test]
fn a_forwarded_connection_breaks_off_with_its_client() {
    let mut scene = Scene::new();
    drop(scene.client(StreamName::new(forward()).unwrap(), b""));
    scene.open_forward();
    assert_eq!(scene.poll(), 1);
    assert!(scene.guest.pipe(ID).reset);

    let mut nobody = Scene::new();
    nobody.open_forward();
    assert!(nobody.guest.pipe(ID).reset);
}

#[test]
fn a_hello_that_is_none_ends_the_connection() {
    for bytes in [
        &[0xff; 8][..],
        &[2, 0, 0, 0, 0xff, 0xff],
        &[0, 0, 0, 0],
        &[1, 0x11, 0, 0],
    ] {
        let mut scene = Scene::new();
        scene.stdio.opened(ID);
        scene.say(bytes);
        assert!(scene.guest.pipe(ID).reset, "{bytes:?}");
        assert!(scene.stdio.connections.is_empty());
    }
    let mut scene = Scene::new();
    scene.stdio.opened(ID);
    scene.say(&[9, 0, 0, 0, 1]);
    assert!(!scene.guest.pipe(ID).reset);
}

#[test]
fn the_end_of_the_guest_ends_every_stream() {
    let mut scene = Scene::new();
    let mut joined = scene.client(name("e", Stream::Stdout), b"");
    scene.open("e", Stream::Stdout);
    let mut waiting = scene.client(name("e", Stream::Stderr), b"");
    scene
        .stdio
        .end_all(&mut scene.guest, &mut scene.logs, &mut scene.report);
    assert!(at_end(&mut joined));
    assert!(at_end(&mut waiting));
}
