// SPDX-License-Identifier: Apache-2.0
import type {
  DiskStats,
  NetworkStats,
} from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { PodUsage } from "../sandbox/stats.ts";
import type { MetricDefinition } from "./definitions.ts";

/** Bytes of a sector in the kernel's statistics, whatever the disk's own are. */
const SECTOR = 512n;
const MILLISECONDS = 1000n;

function ofInterfaces(
  name: string,
  help: string,
  value: (counters: NetworkStats) => bigint,
): MetricDefinition<PodUsage> {
  return {
    type: "counter",
    name,
    help,
    labels: ["interface"],
    read: ({ guest }) =>
      guest.networks.map((each) => ({ labels: [each.name], value: value(each) })),
  };
}

/** Traffic, as the guest sees it. */
export const NETWORK_METRICS: readonly MetricDefinition<PodUsage>[] = [
  ofInterfaces(
    "container_network_receive_bytes_total",
    "Bytes received",
    ({ receivedBytes }) => receivedBytes,
  ),
  ofInterfaces(
    "container_network_receive_packets_total",
    "Packets received",
    ({ receivedPackets }) => receivedPackets,
  ),
  ofInterfaces(
    "container_network_receive_packets_dropped_total",
    "Packets that were dropped on arrival",
    ({ receiveDrops }) => receiveDrops,
  ),
  ofInterfaces(
    "container_network_receive_errors_total",
    "Packets that arrived damaged",
    ({ receiveErrors }) => receiveErrors,
  ),
  ofInterfaces(
    "container_network_transmit_bytes_total",
    "Bytes sent",
    ({ sentBytes }) => sentBytes,
  ),
  ofInterfaces(
    "container_network_transmit_packets_total",
    "Packets sent",
    ({ sentPackets }) => sentPackets,
  ),
  ofInterfaces(
    "container_network_transmit_packets_dropped_total",
    "Packets that were dropped before they were sent",
    ({ sendDrops }) => sendDrops,
  ),
  ofInterfaces(
    "container_network_transmit_errors_total",
    "Packets that could not be sent",
    ({ sendErrors }) => sendErrors,
  ),
];

function ofDisks(
  name: string,
  help: string,
  value: (counters: DiskStats) => bigint,
  type: "counter" | "gauge" = "counter",
): MetricDefinition<PodUsage> {
  return {
    type,
    name,
    help,
    labels: ["device"],
    read: ({ guest }) => guest.disks.map((disk) => ({ labels: [path(disk)], value: value(disk) })),
  };
}

function path({ name }: DiskStats): string {
  return `/dev/${name}`;
}

/** Disks: the images of the pod's containers, and block devices that it was given. */
export const DISK_METRICS: readonly MetricDefinition<PodUsage>[] = [
  ofDisks(
    "container_fs_reads_bytes_total",
    "Bytes read",
    ({ sectorsRead }) => sectorsRead * SECTOR,
  ),
  ofDisks("container_fs_reads_total", "Reads that were completed", ({ reads }) => reads),
  ofDisks("container_fs_sector_reads_total", "Sectors read", ({ sectorsRead }) => sectorsRead),
  ofDisks(
    "container_fs_reads_merged_total",
    "Reads that were joined with others",
    ({ mergedReads }) => mergedReads,
  ),
  ofDisks(
    "container_fs_read_seconds_total",
    "Time of all reads together, in seconds",
    ({ readMilliseconds }) => readMilliseconds / MILLISECONDS,
  ),
  ofDisks(
    "container_fs_writes_bytes_total",
    "Bytes written",
    ({ sectorsWritten }) => sectorsWritten * SECTOR,
  ),
  ofDisks("container_fs_writes_total", "Writes that were completed", ({ writes }) => writes),
  ofDisks(
    "container_fs_sector_writes_total",
    "Sectors written",
    ({ sectorsWritten }) => sectorsWritten,
  ),
  ofDisks(
    "container_fs_writes_merged_total",
    "Writes that were joined with others",
    ({ mergedWrites }) => mergedWrites,
  ),
  ofDisks(
    "container_fs_write_seconds_total",
    "Time of all writes together, in seconds",
    ({ writeMilliseconds }) => writeMilliseconds / MILLISECONDS,
  ),
  ofDisks(
    "container_fs_io_current",
    "Reads and writes that go on",
    ({ inProgress }) => inProgress,
    "gauge",
  ),
  ofDisks(
    "container_fs_io_time_seconds_total",
    "Time in which something was read or written, in seconds",
    ({ busyMilliseconds }) => busyMilliseconds / MILLISECONDS,
  ),
  ofDisks(
    "container_fs_io_time_weighted_seconds_total",
    "The same, times how much went on at once",
    ({ weightedMilliseconds }) => weightedMilliseconds / MILLISECONDS,
  ),
  {
    type: "counter",
    name: "container_blkio_device_usage_total",
    help: "Bytes of each kind of access",
    labels: ["device", "major", "minor", "operation"],
    read: ({ guest }) =>
      guest.disks.flatMap((disk) => {
        const labels = [path(disk), String(disk.major), String(disk.minor)];
        return [
          { labels: [...labels, "Read"], value: disk.sectorsRead * SECTOR },
          { labels: [...labels, "Write"], value: disk.sectorsWritten * SECTOR },
        ];
      }),
  },
];
