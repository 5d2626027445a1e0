// SPDX-License-Identifier: Apache-2.0
//! A guest without a VM: the real agent in namespaces of its own, this test as its host.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lightvm_agent::agent::{Agent, End, Paths};
use lightvm_agent::uevents::Uevents;
use lightvm_agent::vsock::Host;
use lightvm_protocol::agent::{
    AgentMessage, HostMessage, ProcessExited, StreamHello, agent_message::Body, host_message::Call,
};
use lightvm_protocol::framing::{FrameDecoder, encode_frame};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

const DEADLINE: Duration = Duration::from_secs(20);

struct Connections(Sender<UnixStream>);

impl Host for Connections {
    fn connect(&self, _port: u32) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_read_timeout(Some(DEADLINE))?;
        self.0.send(theirs).map_err(io::Error::other)?;
        Ok(ours.into())
    }
}

pub(crate) struct Guest {
    control: UnixStream,
    decoder: FrameDecoder,
    streams: Receiver<UnixStream>,
    events: VecDeque<Body>,
    next_id: u64,
    agent: Option<JoinHandle<End>>,
    platform_devices: PathBuf,
    loop_device: String,
    cgroups: PathBuf,
    directory: PathBuf,
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image with busybox and two users, on a loop device.
fn make_image(directory: &Path) -> String {
    let tree = directory.join("tree");
    fs::create_dir_all(tree.join("bin")).unwrap();
    for name in ["etc", "srv", "tmp"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    let busybox = std::env::var_os("LIGHTVM_BUSYBOX").unwrap_or_else(|| "/bin/busybox".into());
    fs::copy(busybox, tree.join("bin/busybox")).unwrap();
    for name in [
        "sh", "cat", "id", "sleep", "tty", "stty", "mount", "grep", "ps", "kill", "hostname",
        "chmod", "readlink", "stat",
    ] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    fs::write(
        tree.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        tree.join("etc/group"),
        "root:x:0:\nweb:x:33:\nlogs:x:44:web\n",
    )
    .unwrap();
    fs::write(tree.join("etc/shadow"), "not a program").unwrap();
    std::os::unix::fs::symlink("../../../..", tree.join("up")).unwrap();
    let image = directory.join("image");
    output(Command::new("mkfs.erofs").arg(&image).arg(&tree));
    output(
        Command::new("losetup")
            .args(["--find", "--show", "--read-only"])
            .arg(&image),
    )
}

impl Guest {
    pub(crate) fn boot() -> Self {
        let name = format!("lightvm-agent-test-{}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).unwrap();
        let loop_device = make_image(&directory);
        let cgroup_mount = fs::read_to_string("/proc/mounts").unwrap();
        let cgroups = cgroup_mount
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let cgroups = cgroups
            .into_iter()
            .find(|line| line[2] == "cgroup2")
            .expect("cgroup2")[1];
        let cgroups = Path::new(cgroups).join(&name);
        fs::create_dir_all(&cgroups).unwrap();
        let platform_devices = directory.join("devices");
        let paths = Paths {
            program: env!("CARGO_BIN_EXE_lightvm-agent").into(),
            state: "/run/lightvm/containers".into(),
            cgroups: cgroups.clone(),
            platform_devices: platform_devices.clone(),
            forgone_memory: directory.join("forgo"),
            processors: directory.join("processors"),
        };
        let (sender, streams) = channel();
        let (control, agents) = UnixStream::pair().unwrap();
        control.set_read_timeout(Some(DEADLINE)).unwrap();
        let agent = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
            fs::create_dir_all("/run/lightvm/shm").unwrap();
            fs::create_dir_all("/run/lightvm/pod").unwrap();
            let uevents = Uevents::open().unwrap();
            let host = Box::new(Connections(sender));
            let mut agent = Agent::new(paths, host, agents.into(), uevents).unwrap();
            let end = agent.run();
            if matches!(end, End::Shutdown) {
                agent.say_goodbye(DEADLINE).unwrap();
            }
            end
        });
        let decoder = FrameDecoder::new();
        let (events, agent) = (VecDeque::new(), Some(agent));
        Self {
            control,
            decoder,
            streams,
            events,
            next_id: 1,
            agent,
            platform_devices,
            loop_device,
            cgroups,
            directory,
        }
    }

    /// The image becomes the disk of device `id`.
    pub(crate) fn plug(&self, id: u32) {
        let disk = Path::new(&self.loop_device).file_name().unwrap();
        let path = self
            .platform_devices
            .join(format!("noxs{id}/virtio0/block"))
            .join(disk);
        fs::create_dir_all(path).unwrap();
    }

    fn receive(&mut self) -> AgentMessage {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return message;
            }
            let length = self.control.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the agent hung up");
            self.decoder.push(&buffer[..length]);
        }
    }

    pub(crate) fn call(&mut self, call: Call) -> Body {
        let id = self.next_id;
        self.next_id += 1;
        let mut frame = Vec::new();
        encode_frame(
            &HostMessage {
                id,
                call: Some(call),
            },
            &mut frame,
        )
        .unwrap();
        self.control.write_all(&frame).unwrap();
        loop {
            let message = self.receive();
            if message.id == id {
                return message.body.unwrap();
            }
            assert_eq!(message.id, 0);
            self.events.push_back(message.body.unwrap());
        }
    }

    pub(crate) fn event(&mut self) -> Body {
        self.events
            .pop_front()
            .unwrap_or_else(|| self.receive().body.unwrap())
    }

    pub(crate) fn exit(&mut self) -> ProcessExited {
        match self.event() {
            Body::Exited(exited) => exited,
            other => panic!("{other:?}"),
        }
    }

    /// The next stream connection, and what it says it is.
    pub(crate) fn stream(&self) -> (StreamHello, UnixStream) {
        let mut stream = self.streams.recv_timeout(DEADLINE).unwrap();
        let mut decoder = FrameDecoder::new();
        loop {
            if let Some(hello) = decoder.next_message().unwrap() {
                return (hello, stream);
            }
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            decoder.push(&byte);
        }
    }

    /// All that comes over the next stream.
    pub(crate) fn stream_text(&self) -> String {
        let (_, mut stream) = self.stream();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn wait_for_end(&mut self) -> End {
        self.agent.take().unwrap().join().unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.cgroups));
        drop(
            Command::new("losetup")
                .args(["--detach", &self.loop_device])
                .status(),
        );
        drop(fs::remove_dir_all(&self.directory));
    }
}
