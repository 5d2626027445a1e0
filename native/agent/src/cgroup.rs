// SPDX-License-Identifier: Apache-2.0
//! Control groups (version 2) of containers: limits, accounting, and their end.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lightvm_protocol::agent::{ContainerStats, Resources};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::error::{CallError, During};

/// CPU period when the host names none, in microseconds.
const DEFAULT_CPU_PERIOD: u64 = 100_000;

/// How long processes may take to be gone after SIGKILL.
const EMPTY_DEADLINE: Duration = Duration::from_secs(2);

/// Controllers that containers use when the kernel has them.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];

/// One container's group.
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
}

/// Gives the groups below `root` the controllers that the kernel has.
pub fn enable_controllers(root: &Path) -> io::Result<()> {
    let available = fs::read_to_string(root.join("cgroup.controllers"))?;
    for controller in available
        .split_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
    {
        fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )?;
    }
    Ok(())
}

impl Cgroup {
    /// Makes the group `name` below `root`. Its limits come later.
    pub fn create(root: &Path, name: &str) -> io::Result<Self> {
        let directory = root.join(name);
        fs::create_dir(&directory)?;
        Ok(Self { directory })
    }

    /// Applies limits; what is not named stays unlimited.
    pub fn limit(&self, resources: &Resources) -> Result<(), CallError> {
        for (file, value) in settings(resources) {
            if file.contains('/') {
                return Err(CallError::invalid(format!("{file} is no file of a cgroup")));
            }
            let path = self.directory.join(&file);
            if !path.exists() {
                return Err(CallError::precondition(format!(
                    "this kernel has no {file}"
                )));
            }
            fs::write(path, &value).during(format_args!("set {file} to {value}"))?;
        }
        // One victim ends the container: half a container is worse than a restarted one.
        let group = self.directory.join("memory.oom.group");
        if group.exists() {
            fs::write(group, "1").during("set memory.oom.group")?;
        }
        // Only where the guest can swap at all.
        let swap = self.directory.join("memory.swap.max");
        if resources.memory_swap_limit_bytes > 0 && swap.exists() {
            let limit = swap_beyond_memory(resources);
            fs::write(swap, limit.to_string()).during("set memory.swap.max")?;
        }
        Ok(())
    }

    /// Moves a process into the group.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string())
    }

    /// SIGKILL to every process, those that fork meanwhile included.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.kill"), "1")
    }

    /// Every process of the group, by the guest's numbers.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// How many processes the OOM killer took from this group so far.
    pub fn oom_kills(&self) -> u64 {
        // Without the memory controller there are no limits and no victims to count.
        let text = fs::read_to_string(self.directory.join("memory.events")).unwrap_or_default();
        keyed(&text, "oom_kill").unwrap_or(0)
    }

    /// What the group uses; the writable layer is filled in by the caller.
    pub fn stats(&self, container_id: &str) -> ContainerStats {
        let read = |file: &str| fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        let (cpu, memory, events) = (read("cpu.stat"), read("memory.stat"), read("memory.events"));
        let of = |text: &str, key: &str| keyed(text, key).unwrap_or(0);
        let usage = number(&read("memory.current"));
        let inactive = of(&memory, "inactive_file");
        let processes = self.processes().unwrap_or_default();
        ContainerStats {
            container_id: container_id.to_owned(),
            cpu_nanoseconds: of(&cpu, "usage_usec") * 1000,
            cpu_user_nanoseconds: of(&cpu, "user_usec") * 1000,
            cpu_system_nanoseconds: of(&cpu, "system_usec") * 1000,
            cpu_periods: of(&cpu, "nr_periods"),
            cpu_throttled_periods: of(&cpu, "nr_throttled"),
            cpu_throttled_nanoseconds: of(&cpu, "throttled_usec") * 1000,
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage.saturating_sub(inactive),
            memory_rss_bytes: of(&memory, "anon"),
            memory_cache_bytes: of(&memory, "file"),
            memory_kernel_bytes: of(&memory, "kernel"),
            memory_mapped_file_bytes: of(&memory, "file_mapped"),
            memory_active_file_bytes: of(&memory, "active_file"),
            memory_inactive_file_bytes: inactive,
            memory_swap_bytes: number(&read("memory.swap.current")),
            memory_peak_bytes: number(&read("memory.peak")),
            memory_limit_bytes: number(&read("memory.max")),
            memory_limit_hits: of(&events, "max"),
            out_of_memory_kills: of(&events, "oom_kill"),
            page_faults: of(&memory, "pgfault"),
            major_page_faults: of(&memory, "pgmajfault"),
            pids: number(&read("pids.current")),
            pids_limit: number(&read("pids.max")),
            open_files: processes.iter().map(|pid| open_files(*pid)).sum(),
            processes: processes.len() as u64,
            ..ContainerStats::default()
        }
    }

    /// Removes the group and those that the container made below it, once what was killed is gone.
    pub fn remove(&self) -> io::Result<()> {
        self.wait_until_empty(Instant::now() + EMPTY_DEADLINE)?;
        remove_tree(&self.directory)
    }

    /// Processes that share a pid namespace with others end after their container's first one.
    fn wait_until_empty(&self, deadline: Instant) -> io::Result<()> {
        let mut events = match File::open(self.directory.join("cgroup.events")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            events => events?,
        };
        loop {
            let mut text = String::new();
            events.rewind()?;
            events.read_to_string(&mut text)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if text.lines().any(|line| line == "populated 0") || left.is_zero() {
                return Ok(());
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&left)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// rmdir from the leaves up; the files in a group go with it.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

/// Which file gets which value.
fn settings(resources: &Resources) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    if resources.cpu_shares > 0 {
        let weight = cpu_weight(resources.cpu_shares).to_string();
        settings.push(("cpu.weight".into(), weight));
    }
    if resources.cpu_quota_microseconds != 0 {
        let period = match resources.cpu_period_microseconds {
            0 => DEFAULT_CPU_PERIOD,
            period => period,
        };
        let quota = or_max(resources.cpu_quota_microseconds);
        settings.push(("cpu.max".into(), format!("{quota} {period}")));
    }
    if resources.memory_limit_bytes > 0 {
        let limit = resources.memory_limit_bytes.to_string();
        settings.push(("memory.max".into(), limit));
    }
    if resources.pids_limit != 0 {
        settings.push(("pids.max".into(), or_max(resources.pids_limit)));
    }
    if !resources.cpuset_cpus.is_empty() {
        settings.push(("cpuset.cpus".into(), resources.cpuset_cpus.clone()));
    }
    if !resources.cpuset_mems.is_empty() {
        settings.push(("cpuset.mems".into(), resources.cpuset_mems.clone()));
    }
    // Kubelet names every size that its node has; one that is not wanted need not exist here.
    for (size, limit) in resources
        .hugepage_limits
        .iter()
        .filter(|(_, limit)| **limit > 0)
    {
        settings.push((format!("hugetlb.{size}.max"), limit.to_string()));
    }
    settings.extend(resources.unified.clone());
    settings
}

/// A limit that less than zero takes away.
fn or_max(limit: i64) -> String {
    match limit {
        ..0 => "max".into(),
        limit => limit.to_string(),
    }
}

/// The CRI limits memory and swap together, the kernel swap alone.
fn swap_beyond_memory(resources: &Resources) -> u64 {
    resources
        .memory_swap_limit_bytes
        .saturating_sub(resources.memory_limit_bytes)
}

/// cgroup v1 shares (2..262144) on the scale of v2 weights (1..10000), as every runtime maps them.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The value behind `key` in lines of "key value".
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        if name == key {
            value.trim().parse().ok()
        } else {
            None
        }
    })
}

/// How many descriptors a process has; 0 when it has just ended.
fn open_files(pid: i32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// A file with one number; 0 for "max" and for a missing controller.
fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        let weights = [0, 2, 1024, 262_144, u64::MAX].map(cpu_weight);
        assert_eq!(weights, [1, 1, 39, 10_000, 10_000]);
    }

    #[test]
    fn nothing_named_is_nothing_set() {
        assert_eq!(settings(&Resources::default()), []);
        let absent = Resources {
            hugepage_limits: [("1GB".to_owned(), 0)].into(),
            ..Resources::default()
        };
        assert_eq!(settings(&absent), []);
    }

    #[test]
    fn less_than_nothing_takes_a_limit_away() {
        let none = Resources {
            cpu_quota_microseconds: -1,
            pids_limit: -1,
            ..Resources::default()
        };
        assert_eq!(
            settings(&none),
            owned([("cpu.max", "max 100000"), ("pids.max", "max")])
        );
    }

    fn owned<const N: usize>(pairs: [(&str, &str); N]) -> [(String, String); N] {
        pairs.map(|(file, value)| (file.to_owned(), value.to_owned()))
    }

    #[test]
    fn limits_become_files() {
        let resources = Resources {
            cpu_quota_microseconds: 50_000,
            memory_limit_bytes: 1 << 20,
            memory_swap_limit_bytes: 3 << 20,
            pids_limit: 7,
            hugepage_limits: [("2MB".to_owned(), 2 << 20)].into(),
            unified: [("memory.high".to_owned(), "99".to_owned())].into(),
            ..Resources::default()
        };
        let expected = [
            ("cpu.max", "50000 100000"),
            ("memory.max", "1048576"),
            ("pids.max", "7"),
            ("hugetlb.2MB.max", "2097152"),
            ("memory.high", "99"),
        ];
        assert_eq!(settings(&resources), owned(expected));
        assert_eq!(swap_beyond_memory(&resources), 2 << 20);
    }

    #[test]
    fn reads_memory_events() {
        let events = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 3\n";
        assert_eq!(keyed(events, "oom_kill"), Some(1));
        assert_eq!(keyed(events, "oom"), Some(2));
        assert_eq!(keyed(events, "absent"), None);
        assert_eq!(keyed("oom_kill", "oom_kill"), None);
    }
}
