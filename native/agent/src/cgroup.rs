// SPDX-License-Identifier: Apache-2.0
//! Control groups (version 2) of containers: limits, accounting, and their end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lightvm_protocol::agent::{ContainerStats, Resources};

use crate::error::{CallError, During};

/// CPU period when the host names none, in microseconds.
const DEFAULT_CPU_PERIOD: u64 = 100_000;

/// Controllers that containers use when the kernel has them.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

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
            let path = self.directory.join(file);
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
        let (cpu, memory) = (read("cpu.stat"), read("memory.stat"));
        let usage = number(&read("memory.current"));
        let inactive = keyed(&memory, "inactive_file").unwrap_or(0);
        ContainerStats {
            container_id: container_id.to_owned(),
            cpu_nanoseconds: keyed(&cpu, "usage_usec").unwrap_or(0) * 1000,
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage.saturating_sub(inactive),
            memory_rss_bytes: keyed(&memory, "anon").unwrap_or(0),
            page_faults: keyed(&memory, "pgfault").unwrap_or(0),
            major_page_faults: keyed(&memory, "pgmajfault").unwrap_or(0),
            pids: number(&read("pids.current")),
            ..ContainerStats::default()
        }
    }

    /// Removes the group and those that the container made below it.
    pub fn remove(&self) -> io::Result<()> {
        remove_tree(&self.directory)
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
fn settings(resources: &Resources) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if resources.cpu_shares > 0 {
        settings.push(("cpu.weight", cpu_weight(resources.cpu_shares).to_string()));
    }
    if resources.cpu_quota_microseconds > 0 {
        let period = match resources.cpu_period_microseconds {
            0 => DEFAULT_CPU_PERIOD,
            period => period,
        };
        settings.push((
            "cpu.max",
            format!("{} {period}", resources.cpu_quota_microseconds),
        ));
    }
    if resources.memory_limit_bytes > 0 {
        settings.push(("memory.max", resources.memory_limit_bytes.to_string()));
    }
    if resources.pids_limit > 0 {
        settings.push(("pids.max", resources.pids_limit.to_string()));
    }
    if !resources.cpuset_cpus.is_empty() {
        settings.push(("cpuset.cpus", resources.cpuset_cpus.clone()));
    }
    settings
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
        let none = Resources {
            cpu_quota_microseconds: -1,
            pids_limit: -1,
            ..Resources::default()
        };
        assert_eq!(settings(&none), []);
    }

    #[test]
    fn limits_become_files() {
        let resources = Resources {
            cpu_quota_microseconds: 50_000,
            memory_limit_bytes: 1 << 20,
            memory_swap_limit_bytes: 3 << 20,
            pids_limit: 7,
            ..Resources::default()
        };
        let expected = [
            ("cpu.max", "50000 100000"),
            ("memory.max", "1048576"),
            ("pids.max", "7"),
        ];
        assert_eq!(
            settings(&resources),
            expected.map(|(file, value)| (file, value.to_owned()))
        );
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
