// SPDX-License-Identifier: Apache-2.0
//! Containers of the real agent, in namespaces of this machine instead of a VM. Needs root, a static
//! busybox, mkfs.erofs, loop devices, a kernel with EROFS and overlayfs, and a mounted cgroup2, so it is
//! run by `-- --ignored` alone; `native/build/cargo.ts` gives it all that.

mod guest;
mod image_volumes;
mod isolation;

use std::io::{Read, Write};

use guest::Guest;
use lightvm_agent::agent::End;
use lightvm_protocol::agent::{
    CreateContainer, Exec, GetStats, Ping, Process, RemoveContainer, ResizeTerminal,
    RootFilesystem, Shutdown, Signal, StartContainer, Stream, User, agent_message::Body,
    failure::Code, host_message::Call,
};
use nix::sys::signal::SigSet;

const DEVICE: u32 = 4;

fn process(words: &[&str]) -> Process {
    Process {
        arguments: words.iter().map(|&word| word.to_owned()).collect(),
        environment: vec!["PATH=/bin".to_owned()],
        ..Process::default()
    }
}

fn shell(script: &str) -> Process {
    process(&["sh", "-c", script])
}

fn create(id: &str, process: Process) -> Call {
    Call::CreateContainer(CreateContainer {
        container_id: id.to_owned(),
        root: Some(RootFilesystem {
            block_device_id: DEVICE,
            read_only: false,
        }),
        process: Some(process),
        hostname: "pod".to_owned(),
        masked_paths: vec!["/proc/meminfo".to_owned()],
        readonly_paths: vec!["/proc/sys".to_owned()],
        ..CreateContainer::default()
    })
}

fn start(id: &str) -> Call {
    Call::StartContainer(StartContainer {
        container_id: id.to_owned(),
    })
}

fn remove(id: &str) -> Call {
    Call::RemoveContainer(RemoveContainer {
        container_id: id.to_owned(),
    })
}

fn exec(id: &str, exec_id: &str, process: Process) -> Call {
    let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
    Call::Exec(Exec {
        container_id,
        exec_id,
        process: Some(process),
    })
}

fn signal(id: &str, signal: u32, all: bool) -> Call {
    let container_id = id.to_owned();
    Call::Signal(Signal {
        container_id,
        exec_id: String::new(),
        signal,
        all,
    })
}

fn is_done(body: Body) {
    assert!(matches!(body, Body::Done(_)), "{body:?}");
}

fn is_created(body: Body) {
    assert!(matches!(body, Body::ContainerCreated(_)), "{body:?}");
}

fn is_started(body: Body) {
    assert!(matches!(body, Body::Started(_)), "{body:?}");
}

fn is_failure(body: Body, code: Code) {
    match body {
        Body::Failure(failure) if failure.code() == code => {}
        other => panic!("{other:?}"),
    }
}

/// Runs a container to its end: exit code, stdout, stderr.
fn run(guest: &mut Guest, id: &str, process: Process) -> (i32, String, String) {
    is_created(guest.call(create(id, process)));
    is_started(guest.call(start(id)));
    let texts = (guest.stream_text(), guest.stream_text());
    let exited = guest.exit();
    assert_eq!(
        (exited.container_id.as_str(), exited.exec_id.as_str()),
        (id, "")
    );
    is_done(guest.call(remove(id)));
    (exited.exit_code, texts.0, texts.1)
}

fn main() {
    if std::env::args().all(|word| word != "--ignored" && word != "--include-ignored") {
        eprintln!("not run: needs --ignored");
        return;
    }
    let mut mask = SigSet::empty();
    mask.add(nix::sys::signal::Signal::SIGCHLD);
    mask.thread_block().unwrap();
    a_pod_lives();
    println!("test result: ok. 1 passed: the life of a pod");
}

fn a_pod_lives() {
    let mut guest = Guest::boot();
    assert!(matches!(guest.event(), Body::Hello(hello) if hello.protocol_version == 1));
    is_done(guest.call(Call::Ping(Ping {})));
    guest.plug(DEVICE);
    prints_and_exits(&mut guest);
    sees_its_own_world(&mut guest);
    runs_as_a_user(&mut guest);
    refuses_what_cannot_run(&mut guest);
    reads_input_and_runs_more(&mut guest);
    has_a_terminal(&mut guest);
    ends_though_nobody_reads(&mut guest);
    isolation::shares_what_it_is_told_to(&mut guest);
    isolation::filters_system_calls(&mut guest);
    isolation::lets_users_keep_capabilities(&mut guest);
    image_volumes::are_parts_of_images(&mut guest);
    image_volumes::cannot_be_changed_or_run(&mut guest);
    image_volumes::keep_their_links_inside(&mut guest);
    isolation::maps_ids(&mut guest);
    image_volumes::are_parts_of_images(&mut guest);
    image_volumes::keep_their_links_inside(&mut guest);
    is_done(guest.call(Call::Shutdown(Shutdown {})));
    assert!(matches!(guest.wait_for_end(), End::Shutdown));
}

fn prints_and_exits(guest: &mut Guest) {
    let outcome = run(
        guest,
        "hello",
        shell("echo out; echo err >&2; echo more >/dev/stdout; exit 3"),
    );
    assert_eq!(outcome, (3, "out\nmore\n".to_owned(), "err\n".to_owned()));
    let (code, ..) = run(guest, "suicide", shell("sh -c 'kill -9 $$'; exit $?"));
    assert_eq!(code, 137);
    // No signal is blocked: a shell learns by SIGCHLD that what it waits for has ended.
    let script = "grep SigBlk /proc/self/status; (exit 5) & wait $!";
    let (code, out, _) = run(guest, "waits", shell(script));
    assert_eq!((code, out.as_str()), (5, "SigBlk:\t0000000000000000\n"));
}

fn sees_its_own_world(guest: &mut Guest) {
    let script = "hostname; echo $$; echo $HOME; echo x >/new && cat /new; \
        (echo 1 >/proc/sys/kernel/domainname) 2>/dev/null || echo sealed; \
        grep -c CapEff:.*00000000000000c0 /proc/self/status; cat /proc/meminfo; echo /dev/*";
    let mut process = shell(script);
    process.effective_capabilities = vec!["CAP_SETGID".into(), "CAP_SETUID".into()];
    let (code, out, err) = run(guest, "world", process);
    let devices = "/dev/fd /dev/full /dev/mqueue /dev/null /dev/ptmx /dev/pts /dev/random /dev/shm \
        /dev/stderr /dev/stdin /dev/stdout /dev/tty /dev/urandom /dev/zero";
    assert_eq!(
        out,
        format!("pod\n1\n/root\nx\nsealed\n1\n{devices}\n"),
        "{err}"
    );
    assert_eq!((code, err.as_str()), (0, ""));
}

fn runs_as_a_user(guest: &mut Guest) {
    let user = User {
        specification: "web".to_owned(),
        ..User::default()
    };
    let mut process = shell(
        "id -u; id -G; echo $HOME; pwd; echo y >/dev/stdout; grep NoNewPrivs /proc/self/status",
    );
    process.user = Some(user);
    process.working_directory = "/made/here".to_owned();
    process.no_new_privileges = true;
    let (_, out, err) = run(guest, "user", process);
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("33\n33 44\n/srv\n/made/here\ny\nNoNewPrivs:\t1\n", "")
    );
}

fn refuses_what_cannot_run(guest: &mut Guest) {
    is_failure(
        guest.call(create("a", process(&["absent"]))),
        Code::CommandNotFound,
    );
    is_failure(
        guest.call(create("a", process(&["/etc/shadow"]))),
        Code::CommandNotExecutable,
    );
    let mut ghost = shell("true");
    ghost.user = Some(User {
        specification: "ghost".to_owned(),
        ..User::default()
    });
    is_failure(guest.call(create("a", ghost)), Code::UserNotFound);
    is_failure(guest.call(create("../a", shell("true"))), Code::Invalid);
    is_failure(guest.call(start("a")), Code::NotFound);
    is_failure(guest.call(signal("a", 9, true)), Code::NotFound);
    is_done(guest.call(remove("a")));
}

fn reads_input_and_runs_more(guest: &mut Guest) {
    let mut reader = process(&["cat"]);
    reader.stdin = true;
    is_created(guest.call(create("cat", reader)));
    is_failure(guest.call(create("cat", shell("true"))), Code::Exists);
    is_failure(
        guest.call(exec("cat", "e", shell("true"))),
        Code::FailedPrecondition,
    );
    is_started(guest.call(start("cat")));
    is_failure(guest.call(start("cat")), Code::FailedPrecondition);
    is_failure(guest.call(remove("cat")), Code::FailedPrecondition);
    let (hello, mut stdin) = guest.stream();
    assert_eq!(
        (hello.stream(), hello.container_id.as_str()),
        (Stream::Stdin, "cat")
    );
    let (_, mut stdout) = guest.stream();
    drop(guest.stream());

    is_started(guest.call(exec(
        "cat",
        "e1",
        shell("ps -o pid,comm | grep cat; sleep 9 & exit 7"),
    )));
    assert_eq!(
        guest.stream_text().split_whitespace().collect::<Vec<_>>()[..2],
        ["1", "cat"]
    );
    assert_eq!(guest.stream_text(), "");
    let exited = guest.exit();
    assert_eq!((exited.exec_id.as_str(), exited.exit_code), ("e1", 7));
    is_failure(
        guest.call(exec("cat", "e2", process(&["absent"]))),
        Code::CommandNotFound,
    );
    drop((guest.stream(), guest.stream()));
    is_failure(
        guest.call(exec("cat", "e3", process(&["/etc/passwd"]))),
        Code::CommandNotExecutable,
    );
    drop((guest.stream(), guest.stream()));

    let stats = guest.call(Call::GetStats(GetStats {
        container_id: "cat".to_owned(),
    }));
    assert!(matches!(stats, Body::Stats(stats) if stats.containers[0].writable_layer_inodes > 0));
    let large = vec![b'x'; 300_000];
    let writer = std::thread::spawn(move || {
        stdin.write_all(&large).unwrap();
    });
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    writer.join().unwrap();
    assert_eq!(text.len(), 300_000);
    assert_eq!(guest.exit().exit_code, 0);
    is_done(guest.call(remove("cat")));

    is_created(guest.call(create("long", shell("sleep 1000"))));
    is_started(guest.call(start("long")));
    drop((guest.stream(), guest.stream()));
    ends_an_exec_alone(guest);
    is_done(guest.call(signal("long", 9, true)));
    let exited = guest.exit();
    assert_eq!(
        (exited.exit_code, exited.signal, exited.out_of_memory),
        (137, 9, false)
    );
    is_done(guest.call(remove("long")));
}

/// The container "long" runs.
fn ends_an_exec_alone(guest: &mut Guest) {
    let family = shell("sleep 500 & sleep 500");
    is_started(guest.call(exec("long", "family", family)));
    drop((guest.stream(), guest.stream()));
    is_done(guest.call(Call::Signal(Signal {
        container_id: "long".to_owned(),
        exec_id: "family".to_owned(),
        signal: 9,
        all: true,
    })));
    let exited = guest.exit();
    assert_eq!((exited.exec_id.as_str(), exited.signal), ("family", 9));
    // The container runs on, and what the command had started does not.
    let runs = |command: &str| format!("ps | grep -q '[s]leep {command}'");
    let gone = shell(&format!(
        "while {}; do :; done; {}",
        runs("500"),
        runs("1000")
    ));
    is_started(guest.call(exec("long", "look", gone)));
    drop((guest.stream(), guest.stream()));
    let exited = guest.exit();
    assert_eq!((exited.exec_id.as_str(), exited.exit_code), ("look", 0));
}

/// A log on a full disk holds up its container's output, but not the news of its end.
fn ends_though_nobody_reads(guest: &mut Guest) {
    is_created(guest.call(create("unread", shell("exec cat /dev/zero"))));
    is_started(guest.call(start("unread")));
    let (_, mut stdout) = guest.stream();
    drop(guest.stream());
    stdout.read_exact(&mut [0; 4096]).unwrap();
    is_done(guest.call(signal("unread", 9, true)));
    let exited = guest.exit();
    assert_eq!((exited.container_id.as_str(), exited.signal), ("unread", 9));
    // What it has written is still to be had.
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 4096);
    is_done(guest.call(remove("unread")));
}

fn has_a_terminal(guest: &mut Guest) {
    let mut terminal = shell("tty; stty size; read line; stty size; echo got $line; exit 5");
    terminal.terminal = true;
    terminal.stdin = true;
    (terminal.terminal_width, terminal.terminal_height) = (80, 24);
    is_created(guest.call(create("tty", terminal)));
    is_started(guest.call(start("tty")));
    let (_, mut stdin) = guest.stream();
    let (_, mut stdout) = guest.stream();
    read_until(&mut stdout, "24 80\r\n");
    is_done(guest.call(resize("tty", 100, 50)));
    is_failure(guest.call(resize("tty", 0, 50)), Code::Invalid);
    is_failure(guest.call(resize("ghost", 100, 50)), Code::NotFound);
    hangs_up_without_a_reader(guest);
    stdin.write_all(b"word\n").unwrap();
    let text = read_until(&mut stdout, "got word\r\n");
    assert!(text.ends_with("50 100\r\ngot word\r\n"), "{text}");
    assert_eq!(guest.exit().exit_code, 5);
    is_done(guest.call(remove("tty")));
}

/// The container "tty" runs.
fn hangs_up_without_a_reader(guest: &mut Guest) {
    let mut idle = shell("sleep 1000");
    idle.terminal = true;
    is_started(guest.call(exec("tty", "idle", idle)));
    drop(guest.stream());
    let exited = guest.exit();
    assert_eq!((exited.exec_id.as_str(), exited.signal), ("idle", 1));

    is_started(guest.call(exec("tty", "talker", shell("while echo; do :; done"))));
    drop((guest.stream(), guest.stream()));
    let exited = guest.exit();
    assert_eq!(exited.exec_id.as_str(), "talker");
}

fn resize(id: &str, width: u32, height: u32) -> Call {
    let container_id = id.to_owned();
    Call::ResizeTerminal(ResizeTerminal {
        container_id,
        exec_id: String::new(),
        width,
        height,
    })
}

fn read_until(stream: &mut impl Read, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    text
}
