// SPDX-License-Identifier: Apache-2.0
//! What the guest as a whole uses.

use std::fs;
use std::path::Path;

use lightvm_protocol::agent::{ContainerStats, Stats};

use crate::cgroup::keyed;
use crate::error::{CallError, During};

/// The guest's memory and CPU time beside the accounts of its containers.
pub fn of_guest(containers: Vec<ContainerStats>, cgroups: &Path) -> Result<Stats, CallError> {
    let memory = fs::read_to_string("/proc/meminfo").during("read the guest's memory")?;
    let cpu = fs::read_to_string(cgroups.join("cpu.stat")).during("read the guest's CPU time")?;
    Ok(Stats {
        containers,
        guest_memory_total_bytes: meminfo(&memory, "MemTotal:"),
        guest_memory_available_bytes: meminfo(&memory, "MemAvailable:"),
        guest_cpu_nanoseconds: keyed(&cpu, "usage_usec").unwrap_or(0) * 1000,
    })
}

/// A line of /proc/meminfo, "Name:  123 kB", in bytes.
fn meminfo(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
    kibibytes
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:         100 kB\nMemFree: 1 kB\nMemAvailable:      7 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), 102_400);
        assert_eq!(meminfo(text, "MemAvailable:"), 7168);
        assert_eq!(meminfo(text, "Absent:"), 0);
    }
}
