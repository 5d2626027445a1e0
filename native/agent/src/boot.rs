// SPDX-License-Identifier: Apache-2.0
//! From the kernel's first process to the agent's loop, and from its end to power-off.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use lightvm_protocol::AGENT_CONTROL_PORT;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_remount, move_mount, open_tree,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::agent::{Agent, End, Paths};
use crate::error::{CallError, During};
use crate::network::loopback_up;
use crate::sandbox::SHARED_MEMORY;
use crate::uevents::Uevents;
use crate::vsock::{Host, VsockHost};

/// How long the vsock device may take to appear.
const HOST_DEADLINE: Duration = Duration::from_secs(10);

/// How long the host may take to fetch the last messages.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);

/// Threads of a guest: as many as there are pids.
const MAX_THREADS: u64 = 32_768;

/// Type, target and options of the guest's own mounts, in order.
const MOUNTS: [(&str, &str, &std::ffi::CStr); 8] = [
    ("devtmpfs", "/dev", c"mode=0755"),
    ("proc", "/proc", c""),
    ("sysfs", "/sys", c""),
    ("cgroup2", "/sys/fs/cgroup", c""),
    (
        "devpts",
        "/dev/pts",
        c"newinstance,ptmxmode=0666,mode=0620,gid=5",
    ),
    ("tmpfs", "/run", c"mode=0755"),
    ("tmpfs", SHARED_MEMORY, c"mode=1777"),
    ("mqueue", "/dev/mqueue", c""),
];

/// Of those mounts.
const OWN_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// The life of PID 1. There is no way out of it but power-off.
pub fn run() -> Result<Infallible, CallError> {
    prepare()?;
    let outcome = serve();
    if let Err(error) = &outcome {
        eprintln!("lightvm-agent: {error}");
    }
    rustix::fs::sync();
    let never = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_POWER_OFF);
    Err(CallError::internal(format!(
        "could not power off: {:?}",
        never
    )))
}

fn serve() -> Result<(), CallError> {
    let uevents = Uevents::open().during("listen for devices")?;
    let mut agent = connect(uevents)?;
    match agent.run() {
        End::Shutdown => agent
            .say_goodbye(GOODBYE_DEADLINE)
            .during("say goodbye to the host"),
        End::HostLost(cause) => Err(CallError::internal(format!("lost the host: {cause}"))),
    }
}

/// Everything that does not need the host.
fn prepare() -> Result<(), CallError> {
    leave_initial_root().during("leave the initial root")?;
    for (kind, target, options) in MOUNTS {
        let what = format!("mount {kind} at {target}");
        fs::create_dir_all(target).during(&what)?;
        mount(kind, target, kind, OWN_FLAGS, options).during(&what)?;
    }
    fs::create_dir_all("/run/lightvm/pod").during("make /run/lightvm/pod")?;
    // Containers set theirs anew; the guest must not lose its first process to memory pressure.
    fs::write("/proc/self/oom_score_adj", "-1000").during("protect the agent")?;
    // Processes inherit it. The kernel's 4096 is from another time; more than 1024 is for those that ask.
    let nofile = Rlimit {
        current: Some(1024),
        maximum: Some(524_288),
    };
    setrlimit(Resource::Nofile, nofile).during("limit open files")?;
    lift_limits_of_a_small_start()?;
    loopback_up().during("turn the loopback interface on")
}

/// The kernel has sized these by the memory that it booted with, which is but a part of what the guest
/// can have: 35 processes a user. How many a container may have is its cgroup's to say.
fn lift_limits_of_a_small_start() -> Result<(), CallError> {
    fs::write("/proc/sys/kernel/threads-max", MAX_THREADS.to_string()).during("allow threads")?;
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Nproc, unlimited).during("allow processes")?;
    let half = Some(MAX_THREADS / 2);
    let sigpending = Rlimit {
        current: half,
        maximum: half,
    };
    setrlimit(Resource::Sigpending, sigpending).during("allow pending signals")
}

/// tmpfs may take half of the memory that there was when it was mounted; from now on, of what there is.
pub(crate) fn halve_memory_for_files() -> Result<(), CallError> {
    let half = c"size=50%";
    for (_, target, _) in MOUNTS.iter().filter(|(kind, _, _)| *kind == "tmpfs") {
        mount_remount(*target, OWN_FLAGS, half).during(format!("limit the size of {target}"))?;
    }
    Ok(())
}

/// Puts a second mount of the initial root on top of it. pivot_root, which every container needs,
/// refuses to move the first.
fn leave_initial_root() -> rustix::io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let root = open_tree(CWD, "/", flags)?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")
}

/// Connects as soon as there is a device to connect through.
fn connect(uevents: Uevents) -> Result<Agent, CallError> {
    let deadline = Instant::now() + HOST_DEADLINE;
    let control = loop {
        match VsockHost.connect(AGENT_CONTROL_PORT) {
            Err(error) if is_early(&error) && Instant::now() < deadline => {
                uevents.wait(deadline).during("wait for the vsock device")?;
            }
            outcome => break outcome.during("connect to the host")?,
        }
    };
    Agent::new(Paths::of_guest(), Box::new(VsockHost), control, uevents).during("start the agent")
}

/// The errors of a guest whose vsock device has not been found yet.
fn is_early(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        code,
        Some(Errno::NODEV | Errno::NETUNREACH | Errno::ADDRNOTAVAIL)
    )
}
