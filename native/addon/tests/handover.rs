// SPDX-License-Identifier: Apache-2.0
//! Hands files to a listener in the same process.

#[path = "../src/handover.rs"]
mod handover;

use std::fs::File;
use std::io::{IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use handover::hand_over;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket that is removed again.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lightvm-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, listener }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

fn file_with(content: &str) -> OwnedFd {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lightvm-{}-file-{number}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.into()
}

/// What arrived with the first byte.
#[allow(unsafe_code)]
fn receive(stream: &UnixStream) -> (Vec<u8>, Vec<File>) {
    let mut bytes = [0; 64];
    let mut space = nix::cmsg_space!([i32; 2]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags).unwrap();
    let length = message.bytes;
    let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
        panic!("no descriptor arrived");
    };
    // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
    let files = fds.iter().map(|fd| unsafe { File::from_raw_fd(*fd) });
    (bytes[..length].to_vec(), files.collect())
}

fn content(mut file: File) -> String {
    let mut content = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut content).unwrap();
    content
}

#[test]
fn the_files_arrive_with_the_hello_in_order() {
    let socket = Socket::new("arrives");
    let listener = socket.listener.try_clone().unwrap();
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (hello, files) = receive(&stream);
        stream.write_all(&[0]).unwrap();
        let contents: Vec<_> = files.into_iter().map(content).collect();
        (hello, contents)
    });
    let files = [file_with("one"), file_with("two")];
    hand_over(&socket.path, b"hello", &files, TIMEOUT).unwrap();
    assert_eq!(
        receiver.join().unwrap(),
        (b"hello".to_vec(), vec!["one".to_owned(), "two".to_owned()])
    );
}

#[test]
fn a_refusal_and_a_hangup_are_errors() {
    for answer in [&[1_u8][..], &[]] {
        let socket = Socket::new("refusal");
        let listener = socket.listener.try_clone().unwrap();
        let receiver = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            drop(receive(&stream));
            stream.write_all(answer).unwrap();
        });
        assert!(hand_over(&socket.path, b"hello", &[file_with("")], TIMEOUT).is_err());
        receiver.join().unwrap();
    }
}

#[test]
fn silence_ends_with_the_time_limit() {
    let socket = Socket::new("silence");
    let error = hand_over(
        &socket.path,
        b"hello",
        &[file_with("")],
        Duration::from_millis(50),
    );
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn nobody_there_is_an_error() {
    let path = std::env::temp_dir().join("lightvm-nobody-listens-here");
    assert!(hand_over(&path, b"hello", &[file_with("")], TIMEOUT).is_err());
}
