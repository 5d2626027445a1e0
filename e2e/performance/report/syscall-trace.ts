// SPDX-License-Identifier: Apache-2.0
//
// What a process did with its time, from the trace of its system calls that Linux' raw_syscalls events give:
//
//   xl-2345    [000] .....   123.456789: sys_enter: NR 16 (4, 305000, 7ffd10, 0, 0, 0)
//   xl-2345    [000] .....   123.456799: sys_exit: NR 16 = 0

/** Milliseconds that went into one kind of work. */
export interface Share {
  readonly name: string;
  readonly milliseconds: number;
}

interface TraceEvent {
  readonly thread: number;
  /** Microseconds. */
  readonly at: number;
  readonly enters: boolean;
  readonly call: number;
  /** Second argument; of an ioctl, its request. */
  readonly argument: number;
}

/** x86-64, as far as they tell something. */
const CALLS = {
  ioctl: 16,
  execve: 59,
  exitGroup: 231,
  waiting: [0, 1, 7, 20, 23, 44, 45, 46, 47, 202, 232, 270, 271, 281],
  memory: [9, 10, 11, 12, 25, 28],
  processes: [56, 57, 58, 61, 247, 435],
} as const;

/** Requests of /dev/xen/privcmd: IOCTL_PRIVCMD_MMAP, MMAPBATCH, MMAPBATCH_V2 and MMAP_RESOURCE. */
const MAPPING_REQUESTS = [0x5002, 0x5003, 0x5004, 0x5007];
const PRIVCMD = 0x50;
const EVENT_CHANNELS = 0x45;
/** What the process does by itself between two system calls, page faults and other processes included. */
const OWN_WORK = "its own work: linking, parsing, copying";

const LINE =
  /-(\d+)\s+\[\d+\]\s+\S+\s+(\d+\.\d+): sys_(enter|exit): NR (\d+)(?: \([^,]*, ([0-9a-f]+))?/;

/** Divides the time from the process's exec to its exit. Throws when the trace holds no whole life. */
export function sharesOfTrace(trace: string): Share[] {
  const events = trace.split("\n").flatMap(parse);
  const started = events.find(({ call, enters }) => call === CALLS.execve && !enters);
  const own = events.filter((event) => event.thread === started?.thread && event.at >= started.at);
  const end = own.findIndex(({ call }) => call === CALLS.exitGroup);
  if (end === -1) throw new Error("the trace does not reach from exec to exit");
  const totals = new Map<string, number>();
  const life = own.slice(0, end + 1);
  for (const [index, event] of life.slice(1).entries()) {
    const before = life[index];
    if (before === undefined) continue;
    const name = before.enters ? nameOf(before) : OWN_WORK;
    totals.set(name, (totals.get(name) ?? 0) + (event.at - before.at) / 1000);
  }
  return [...totals].map(([name, milliseconds]) => ({ name, milliseconds }));
}

function parse(line: string): TraceEvent[] {
  const [, thread, seconds, way, call, argument = "0"] = LINE.exec(line) ?? [];
  if (thread === undefined) return [];
  return [
    {
      thread: Number(thread),
      at: Number(seconds) * 1e6,
      enters: way === "enter",
      call: Number(call),
      argument: Number.parseInt(argument, 16),
    },
  ];
}

function nameOf({ argument, call }: TraceEvent): string {
  const within = (calls: readonly number[]) => calls.includes(call);
  if (call === CALLS.ioctl) {
    if (MAPPING_REQUESTS.includes(argument & 0xffff)) return "mapping guest memory";
    const kind = (argument >> 8) & 0xff;
    if (kind === PRIVCMD || kind === EVENT_CHANNELS) return "hypercalls";
  }
  if (within(CALLS.waiting)) return "XenStore and other reading, writing, waiting";
  if (within(CALLS.memory)) return "memory of the process";
  if (within(CALLS.processes)) return "other processes";
  return "files and the rest";
}
