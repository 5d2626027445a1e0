// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../../shared/config.ts";
import { xenMemoryOf } from "../admission.ts";
import { type Flavor, flavorName } from "../flavor.ts";
import type { ShellLevel } from "../shell-record.ts";
import type { Demand } from "./demand.ts";

const MIB = 1024 * 1024;

/** So many shells of this flavor shall wait, made ready so far. */
export interface Target {
  readonly flavor: Flavor;
  readonly level: ShellLevel;
  readonly size: number;
}

/** How many shells of a target there are. */
export interface Holding {
  readonly waiting: number;
  readonly making: number;
}

/** One word for one kind of shell. */
export function kindOf({ flavor, level }: Pick<Target, "flavor" | "level">): string {
  return `${flavorName(flavor)} ${level}`;
}

/**
 * What the pool shall hold: the declared flavors as they are declared, and `size` shells shared out
 * among the flavors that pods have asked for beside these. A flavor that is declared twice counts
 * by its last entry.
 */
export function planPool(config: Config["pool"], demand: Demand, usual: Flavor): readonly Target[] {
  const declared = new Map<string, Target>();
  for (const { vcpus, memory_mib, level, size } of config.flavors) {
    const flavor = { vcpus, memoryBytes: memory_mib * MIB, deviceSlots: usual.deviceSlots };
    declared.set(flavorName(flavor), { flavor, level: level ?? config.level, size });
  }
  const learnt = demand.share(config.size, usual, new Set(declared.keys()));
  return [...declared.values(), ...learnt.map((share) => ({ ...share, level: config.level }))];
}

/** Why no shell of a flavor can ever be held here; undefined when one can. */
export function whyImpossible(
  flavor: Flavor,
  budgetBytes: number,
  hostBytes: number,
): string | undefined {
  const needed = xenMemoryOf(flavor);
  const needs = `it needs ${inMib(needed)} of Xen's memory`;
  if (needed > hostBytes) return `${needs}, and the host has ${inMib(hostBytes)}`;
  if (needed > budgetBytes) return `${needs}, and pool.memory_mib is ${inMib(budgetBytes)}`;
  return undefined;
}

/** The target that lacks most of its shells, measured by its size; undefined when none lacks any. */
export function neediest(
  targets: readonly Target[],
  holdingOf: (target: Target) => Holding,
): Target | undefined {
  let most = 0;
  let chosen: Target | undefined;
  for (const target of targets) {
    const { waiting, making } = holdingOf(target);
    const lack = (target.size - waiting - making) / target.size;
    if (lack > most) {
      most = lack;
      chosen = target;
    }
  }
  return chosen;
}

function inMib(bytes: number): string {
  return `${Math.ceil(bytes / MIB)} MiB`;
}
