// SPDX-License-Identifier: Apache-2.0

#[path = "../../tests/fuse/mod.rs"]
mod fuse;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;
use crate::volumes;
use fuse::{Client, LOOKUP, OPEN, READ, ROOT, message};

const READLINK: u32 = 5;
const MKDIR: u32 = 9;

/// A directory with a volume, a secret beside it, and a server of the volume.
struct Share {
    directory: PathBuf,
    server: Arc<Volumes>,
}

impl Share {
    fn new(name: &str) -> Self {
        let name = format!("lightvm-files-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let volume = directory.join("volume");
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::write(directory.join("secret"), "secret").unwrap();
        fs::write(volume.join("file"), "content").unwrap();
        symlink("../secret", volume.join("link")).unwrap();
        symlink("/etc", volume.join("etc")).unwrap();
        let server = Arc::new(volumes::server(volume.to_str().unwrap()).unwrap());
        Self { directory, server }
    }

    fn connect(&self) -> Channel {
        let (near, far) = UnixStream::pair().unwrap();
        let server = Arc::clone(&self.server);
        let serving = thread::spawn(move || one(&server, &far).map_err(|error| error.to_string()));
        let client = Client { stream: near };
        Channel { client, serving }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// A channel, and the thread that serves it.
struct Channel {
    client: Client,
    serving: JoinHandle<Result<(), String>>,
}

impl Channel {
    fn end(self) -> Result<(), String> {
        drop(self.client.stream.shutdown(std::net::Shutdown::Both));
        self.serving.join().unwrap()
    }
}

#[test]
fn a_guest_reads_files() {
    let share = Share::new("reads");
    let mut channel = share.connect();
    let client = &mut channel.client;
    client.start();
    let file = client.lookup(ROOT, "file").unwrap();
    assert_eq!(client.read(file), b"content");
    assert_eq!(client.lookup(ROOT, "missing"), Err(libc::ENOENT));
    assert_eq!(channel.end(), Ok(()));
}

#[test]
fn nothing_above_or_beside_a_volume_has_a_name() {
    let share = Share::new("names");
    let mut channel = share.connect();
    let client = &mut channel.client;
    client.start();
    let root = client.lookup(ROOT, ".");
    assert_eq!(client.lookup(ROOT, ".."), root);
    let sub = client.lookup(ROOT, "sub").unwrap();
    assert_eq!(client.lookup(sub, ".."), root);
    for name in ["../secret", "sub/../../secret", "/etc/passwd", "sub/x"] {
        assert_eq!(client.lookup(ROOT, name), Err(libc::EINVAL), "{name}");
    }
    // Links are told as they are: following them is the guest's, in its own file system.
    for (name, target) in [("link", "../secret"), ("etc", "/etc")] {
        let link = client.lookup(ROOT, name).unwrap();
        assert_eq!(client.ask(READLINK, link, &[]), (0, target.into()));
        assert_eq!(client.ask(OPEN, link, &[0; 8]).0, -libc::EBADF);
        assert_eq!(client.lookup(link, "passwd"), Err(libc::ENOTDIR));
    }
    let made = client.ask(MKDIR, ROOT, b"\xff\x01\0\0\0\0\0\0../out\0");
    assert_eq!(made.0, -libc::EINVAL);
    assert!(!share.directory.join("out").exists());
}

#[test]
fn what_is_no_message_ends_the_service() {
    let share = Share::new("nonsense");
    let bad: [&[u8]; 4] = [
        &[0; HEADER],
        &[0xff; HEADER],
        &message(LOOKUP, ROOT, b"x\0")[..HEADER + 1],
        &message(READ, ROOT, &[1]),
    ];
    for bytes in bad {
        let mut channel = share.connect();
        channel.client.stream.write_all(bytes).unwrap();
        assert!(channel.end().is_err(), "{bytes:?}");
    }
}

#[test]
fn messages_come_in_any_pieces() {
    let share = Share::new("pieces");
    let mut channel = share.connect();
    let client = &mut channel.client;
    client.start();
    let lookup = message(LOOKUP, ROOT, b"file\0");
    // Two and a half at once, then the rest.
    let three = lookup.repeat(3);
    let (first, second) = three.split_at(lookup.len() * 5 / 2);
    client.stream.write_all(first).unwrap();
    let answers = [client.answer(), client.answer()];
    client.stream.write_all(second).unwrap();
    for (error, _) in answers.into_iter().chain([client.answer()]) {
        assert_eq!(error, 0);
    }
    assert_eq!(channel.end(), Ok(()));
}

/// Whatever a guest sends, the server answers or ends: it never panics, and the secret stays one.
#[test]
fn nonsense_is_survived() {
    let share = Share::new("random");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    for _ in 0..300 {
        let Channel {
            mut client,
            serving,
        } = share.connect();
        let sink = client.stream.try_clone().unwrap();
        let drain = thread::spawn(move || std::io::copy(&mut &sink, &mut std::io::sink()));
        for _ in 0..20 {
            let length = random(120) as usize;
            let mut body: Vec<u8> = (0..length).map(|_| random(256) as u8).collect();
            if random(2) == 0 {
                body.fill(random(4) as u8);
            }
            let bytes = message(random(54) as u32, random(8), &body);
            // The server may have ended over an earlier one.
            if client.stream.write_all(&bytes).is_err() {
                break;
            }
        }
        drop(client.stream.shutdown(std::net::Shutdown::Write));
        assert!(serving.join().is_ok(), "the server has panicked");
        drop(client.stream.shutdown(std::net::Shutdown::Both));
        drop(drain.join());
    }
    assert_eq!(
        fs::read_to_string(share.directory.join("secret")).unwrap(),
        "secret"
    );
}
