// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { xenDump } from "./xen-dump.ts";

/** What Xen's scheduler gives a domain; see CpuShare. */
export interface ScheduledDomain {
  readonly domid: number;
  readonly weight: number;
  readonly capPercent: number;
}

/** All guests as credit2 knows them, in the order in which they were made. */
export async function scheduledDomains(box: Box): Promise<ScheduledDomain[]> {
  const lines = (await xenDump(box, "r")).matchAll(/Domain: (\d+) w (\d+) c (\d+) v \d+/g);
  const guests = [...lines].map(([, ...numbers]) => numbers.map(Number)).filter(([id]) => id !== 0);
  return guests.map(([domid = 0, weight = 0, capPercent = 0]) => ({ domid, weight, capPercent }));
}
