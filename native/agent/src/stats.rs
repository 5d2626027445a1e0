// SPDX-License-Identifier: Apache-2.0
//! What the guest as a whole uses.

use std::fs;
use std::path::Path;

use lightvm_protocol::agent::{ContainerStats, DiskStats, NetworkStats, Stats};

use crate::cgroup::keyed;
use crate::error::{CallError, During};

/// The guest's memory, CPU time, traffic and disks beside the accounts of its containers.
pub fn of_guest(containers: Vec<ContainerStats>, cgroups: &Path) -> Result<Stats, CallError> {
    let read = |path: &str| fs::read_to_string(path).during(format_args!("read {path}"));
    let memory = read("/proc/meminfo")?;
    let cpu = fs::read_to_string(cgroups.join("cpu.stat")).during("read the guest's CPU time")?;
    // The kernel has one of them only with a network, the other only with disks.
    let networks = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let disks = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    Ok(Stats {
        guest_processes: 1 + containers.iter().map(|each| each.processes).sum::<u64>(),
        containers,
        guest_memory_total_bytes: meminfo(&memory, "MemTotal:"),
        guest_memory_available_bytes: meminfo(&memory, "MemAvailable:"),
        guest_memory_free_bytes: meminfo(&memory, "MemFree:"),
        guest_memory_anonymous_bytes: meminfo(&memory, "AnonPages:"),
        guest_cpu_nanoseconds: keyed(&cpu, "usage_usec").unwrap_or(0) * 1000,
        networks: networks.lines().filter_map(network).collect(),
        disks: disks.lines().filter_map(disk).collect(),
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

/// A line of /proc/net/dev: the name, eight counters of what came, eight of what went. `None` for
/// the two lines of headings and for loopback.
fn network(line: &str) -> Option<NetworkStats> {
    let (name, counters) = line.split_once(':')?;
    let name = name.trim();
    let counters: Vec<u64> = numbers(counters)?;
    let [received, sent] = [counters.get(..8)?, counters.get(8..16)?];
    (name != "lo").then(|| NetworkStats {
        name: name.to_owned(),
        received_bytes: received[0],
        received_packets: received[1],
        receive_errors: received[2],
        receive_drops: received[3],
        sent_bytes: sent[0],
        sent_packets: sent[1],
        send_errors: sent[2],
        send_drops: sent[3],
    })
}

/// A line of /proc/diskstats (Documentation/admin-guide/iostats.rst). `None` for one that was never
/// used: the kernel has such devices of its own.
fn disk(line: &str) -> Option<DiskStats> {
    let mut words = line.split_whitespace();
    let major = words.next()?.parse().ok()?;
    let minor = words.next()?.parse().ok()?;
    let name = words.next()?.to_owned();
    let counters: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let counters: &[u64; 11] = counters.first_chunk()?;
    (counters[0] + counters[4] > 0).then_some(DiskStats {
        name,
        major,
        minor,
        reads: counters[0],
        merged_reads: counters[1],
        sectors_read: counters[2],
        read_milliseconds: counters[3],
        writes: counters[4],
        merged_writes: counters[5],
        sectors_written: counters[6],
        write_milliseconds: counters[7],
        in_progress: counters[8],
        busy_milliseconds: counters[9],
        weighted_milliseconds: counters[10],
    })
}

/// Numbers between white space; `None` when one is none.
fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
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

    #[test]
    fn reads_interfaces() {
        let line = "  eth0: 1 2 3 4 0 0 0 0   5 6 7 8 0 0 0 0";
        let network_stats = network(line).unwrap();
        assert_eq!(network_stats.name, "eth0");
        assert_eq!(
            (network_stats.received_bytes, network_stats.receive_drops),
            (1, 4)
        );
        assert_eq!((network_stats.sent_bytes, network_stats.send_drops), (5, 8));
        assert_eq!(network("    lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0"), None);
        for heading in [
            "Inter-|   Receive  |  Transmit",
            " face |bytes packets",
            "eth0: 1",
        ] {
            assert_eq!(network(heading), None);
        }
    }

    #[test]
    fn reads_disks() {
        let line = " 254  0 vda 1 2 3 4 5 6 7 8 9 10 11 0 0 0 0 0 0";
        let stats = disk(line).unwrap();
        assert_eq!(
            (stats.major, stats.minor, stats.name.as_str()),
            (254, 0, "vda")
        );
        assert_eq!((stats.sectors_read, stats.sectors_written), (3, 7));
        assert_eq!(stats.weighted_milliseconds, 11);
        assert_eq!(disk(" 1 0 ram0 0 0 0 0 0 0 0 0 0 0 0"), None);
        assert_eq!(disk(" 1 0 ram0 1 2"), None);
    }
}
