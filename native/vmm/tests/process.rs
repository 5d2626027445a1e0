// SPDX-License-Identifier: Apache-2.0
//! The VMM as a process on a machine without Xen: what lightvmd sees of it from outside.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lightvm_protocol::framing::{FrameDecoder, encode_frame};
use lightvm_protocol::vmm::client_hello::Purpose;
use lightvm_protocol::vmm::client_message::Call;
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::vmm_message::Body;
use lightvm_protocol::vmm::{
    CallAgent, ClientHello, ClientMessage, Execute, GetState, Load, Prepare, Quit, VmmMessage,
    state,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    socket: UnixStream,
    decoder: FrameDecoder,
    last_id: u64,
}

impl Client {
    fn new(mut socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let purpose = Purpose::Control.into();
        let mut frame = Vec::new();
        encode_frame(
            &ClientHello {
                purpose,
                ..ClientHello::default()
            },
            &mut frame,
        )
        .unwrap();
        socket.write_all(&frame).unwrap();
        Self {
            socket,
            decoder: FrameDecoder::new(),
            last_id: 0,
        }
    }

    fn call(&mut self, call: Call) -> Body {
        self.last_id += 1;
        let message = ClientMessage {
            id: self.last_id,
            call: Some(call),
        };
        let mut frame = Vec::new();
        encode_frame(&message, &mut frame).unwrap();
        self.socket.write_all(&frame).unwrap();
        loop {
            if let Some(message) = self.decoder.next_message::<VmmMessage>().unwrap() {
                assert_eq!(message.id, self.last_id);
                return message.body.unwrap();
            }
            let mut buffer = [0; 4096];
            let count = match self.socket.read(&mut buffer) {
                // A read with a time limit is not taken up again after a signal (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.unwrap(),
            };
            assert!(count > 0, "the VMM closed the connection");
            self.decoder.push(&buffer[..count]);
        }
    }

    fn failure(&mut self, call: Call) -> Code {
        match self.call(call) {
            Body::Failure(failure) => {
                assert!(!failure.message.is_empty());
                failure.code()
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Vmm {
    child: Child,
    directory: PathBuf,
    control: Option<Client>,
}

impl Vmm {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("lightvm-{}-{name}", std::process::id()));
        std::fs::create_dir_all(directory.join("jail")).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        // The shell puts the socket where lightvmd puts it: descriptor 3.
        let child = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" --socket \"$1\" 3<&0 </dev/null"])
            .arg(env!("CARGO_BIN_EXE_lightvm-vmm"))
            .arg(directory.join("vmm.sock"))
            .stdin(Stdio::from(OwnedFd::from(far)))
            .stderr(File::create(directory.join("vmm.log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            directory,
            control: Some(Client::new(near)),
        }
    }

    fn control(&mut self) -> &mut Client {
        self.control.as_mut().unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("vmm.sock")
    }

    fn jail(&self) -> String {
        self.directory.join("jail").to_str().unwrap().into()
    }

    /// Waits for the end of the process.
    fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the VMM does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn phase(client: &mut Client) -> state::Phase {
    match client.call(Call::GetState(GetState {})) {
        Body::State(state) => {
            assert!(state.resident_bytes > 0);
            state.phase()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_starts_without_a_domain_and_quits() {
    let mut vmm = Vmm::start("quits");
    assert_eq!(phase(vmm.control()), state::Phase::Started);
    assert!(matches!(
        vmm.control().call(Call::Quit(Quit {})),
        Body::Done(_)
    ));
    assert!(vmm.exit().success());
}

#[test]
fn without_xen_there_is_no_domain() {
    if Path::new("/dev/xen/privcmd").exists() {
        return;
    }
    let mut vmm = Vmm::start("no-xen");
    let prepare = Prepare {
        vcpus: 1,
        memory_bytes: 64 << 20,
        device_slots: 8,
        uuid: vec![1; 16],
        run_as_uid: 60_000,
        run_as_gid: 60_000,
        jail_directory: vmm.jail(),
        ..Prepare::default()
    };
    assert_eq!(
        vmm.control().failure(Call::Prepare(prepare.clone())),
        Code::NoXen
    );
    let short = Prepare {
        uuid: vec![1; 15],
        ..prepare.clone()
    };
    assert_eq!(vmm.control().failure(Call::Prepare(short)), Code::Invalid);
    let root = Prepare {
        run_as_uid: 0,
        ..prepare
    };
    assert_eq!(vmm.control().failure(Call::Prepare(root)), Code::Invalid);
    assert_eq!(phase(vmm.control()), state::Phase::Started);
}

#[test]
fn calls_that_need_a_domain_are_refused() {
    let mut vmm = Vmm::start("refuses");
    let control = vmm.control();
    for call in [
        Call::Load(Load::default()),
        Call::Execute(Execute::default()),
        Call::CallAgent(CallAgent::default()),
    ] {
        assert_eq!(control.failure(call), Code::FailedPrecondition);
    }
}

#[test]
fn it_ends_when_nobody_is_left_to_ask_for_a_domain() {
    let mut vmm = Vmm::start("alone");
    phase(vmm.control());
    let mut second = Client::new(UnixStream::connect(vmm.socket()).unwrap());
    phase(&mut second);
    vmm.control = None;
    assert_eq!(phase(&mut second), state::Phase::Started);
    drop(second);
    assert!(vmm.exit().success());
}

#[test]
fn it_ends_on_sigterm() {
    let mut vmm = Vmm::start("sigterm");
    phase(vmm.control());
    let pid = Pid::from_raw(vmm.child.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(vmm.exit().success());
}

#[test]
fn nonsense_ends_a_connection_and_nothing_else() {
    let mut vmm = Vmm::start("nonsense");
    phase(vmm.control());
    let mut other = UnixStream::connect(vmm.socket()).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    other.write_all(&[0xff; 64]).unwrap();
    // The end, as such or as a reset: the VMM had not read everything.
    assert!(matches!(other.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(phase(vmm.control()), state::Phase::Started);
}

#[test]
fn it_needs_its_command_line_and_its_control_socket() {
    let binary = env!("CARGO_BIN_EXE_lightvm-vmm");
    for arguments in [&[][..], &["--socket", "/nonexistent/vmm.sock"]] {
        let output = Command::new(binary).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!output.stderr.is_empty());
    }
}
