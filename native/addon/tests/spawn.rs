// SPDX-License-Identifier: Apache-2.0
//! Starting a process, and how it ends, with real ones.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::Pid;

use reap::{Exit, reap};

#[path = "../src/reap.rs"]
mod reap;
#[path = "../src/spawn.rs"]
mod spawn;

/// How a child that has closed what we hold of it ends.
fn end_of(pid: Pid) -> Exit {
    loop {
        match reap(pid.as_raw()).unwrap() {
            Some(exit) => return exit,
            None => thread::yield_now(),
        }
    }
}

#[test]
fn a_child_has_its_log_and_its_control_socket_and_nothing_of_ours() {
    let path = std::env::temp_dir().join(format!("lightvm-spawn-{}", std::process::id()));
    let log = fs::File::create(&path).unwrap();
    let ours = fcntl(&log, FcntlArg::F_DUPFD_CLOEXEC(200)).unwrap();
    let script = "env; ls /proc/self/fd | tr '\\n' ' ' >&3; echo said; exit 7";
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    let (pid, mut control) =
        spawn::start_server("/bin/sh".into(), arguments, log.as_raw_fd(), &[]).unwrap();
    let mut heard = String::new();
    control.read_to_string(&mut heard).unwrap();
    assert_eq!(end_of(pid), Exit::Code(7));
    let descriptors: Vec<i32> = heard
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!((0..4).all(|number| descriptors.contains(&number)));
    assert!(!descriptors.contains(&ours));
    let said = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // A shell sets these by itself.
    let own = ["PWD=", "_=", "SHLVL=", "said"];
    let foreign = |line: &&str| !own.iter().any(|prefix| line.starts_with(prefix));
    assert_eq!(said.lines().find(foreign), None);
    assert!(said.ends_with("said\n"));
}

#[test]
fn a_child_has_what_it_is_handed_behind_its_control_socket() {
    let nothing = fs::File::open("/dev/null").unwrap();
    let handed = ["first", "second"].map(|text| {
        let (input, output) = nix::unistd::pipe().unwrap();
        fs::File::from(output).write_all(text.as_bytes()).unwrap();
        fcntl(&input, FcntlArg::F_DUPFD_CLOEXEC(200)).unwrap()
    });
    let script = "cat <&4 >&3; cat <&5 >&3".to_owned();
    let arguments = vec!["-c".to_owned(), script];
    let (pid, mut control) =
        spawn::start_server("/bin/sh".into(), arguments, nothing.as_raw_fd(), &handed).unwrap();
    let mut heard = String::new();
    control.read_to_string(&mut heard).unwrap();
    assert_eq!(end_of(pid), Exit::Code(0));
    assert_eq!(heard, "firstsecond");
}

#[test]
fn a_filter_has_its_environment_and_pipes() {
    let run = |program: &str, input: &str| {
        let environment = vec!["A=b".to_owned()];
        let (pid, mut pipes) = spawn::start_filter(program.into(), environment).unwrap();
        pipes.input.write_all(input.as_bytes()).unwrap();
        drop(pipes.input);
        let (mut said, mut complained) = (String::new(), String::new());
        pipes.output.read_to_string(&mut said).unwrap();
        pipes.errors.read_to_string(&mut complained).unwrap();
        assert_eq!(end_of(pid), Exit::Code(0));
        assert_eq!(complained, "");
        said
    };
    assert_eq!(run("/usr/bin/env", ""), "A=b\n");
    assert_eq!(run("/bin/cat", "words"), "words");
}

#[test]
fn a_program_that_is_not_there_is_an_error_at_once() {
    let log = fs::File::open("/dev/null").unwrap();
    let error =
        spawn::start_server("/nonexistent".into(), Vec::new(), log.as_raw_fd(), &[]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn an_end_by_a_signal_is_told_by_its_name_or_number() {
    let log = fs::File::open("/dev/null").unwrap();
    for (number, name) in [(9, "SIGKILL"), (15, "SIGTERM"), (40, "signal 40")] {
        let arguments = vec!["-c".to_owned(), format!("kill -{number} $$")];
        let (pid, _control) =
            spawn::start_server("/bin/sh".into(), arguments, log.as_raw_fd(), &[]).unwrap();
        assert_eq!(end_of(pid), Exit::Signal(name.into()));
        assert_eq!(reap(pid.as_raw()).unwrap(), Some(Exit::Unknown));
    }
}

#[test]
fn only_a_child_that_is_named_is_reaped() {
    for pid in [0, -1, i32::MIN] {
        assert!(reap(pid).is_err());
    }
    assert_eq!(reap(1).unwrap(), Some(Exit::Unknown));
}
